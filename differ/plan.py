"""Joined names to an ordered stream of changes.

What a consumer of :meth:`Plan.changes` may rely on, and no more (semantics.md section 3):

* A directory stands before everything below it, and every directory above a change is in the
  stream exactly once: as a change, or as :attr:`ChangeKind.UNMODIFIED` with UPPER's facts.
* A name that is a hard link stands after the name it links to.
* Apart from that the order is depth first by bytes, except that names whose links alone have
  changed come last, in that order among themselves: which names share an inode is known only when
  both walks have ended.
* A removed directory is one change; nothing below it is in the stream.
* A name whose type has changed is one change; what LOWER had below it is in the stream no more than
  below a removed directory.

Memory grows with depth, with the widest directory, and with the names of multiply linked inodes.
"""

from __future__ import annotations

from stat import S_ISCHR, S_ISDIR, S_ISLNK, S_ISREG, S_ISSOCK

from .compare import differing, one_inode
from .model import Change, ChangeKind, DifferError, Entry, Field, printable
from .walk import Directory, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .compare import Profile
    from .model import Stat, Tally, Tree
    from .whiteout import Style

    Key = tuple[int, int]
    Place = tuple[Directory, bytes]
    SameContent = Callable[[Tree, Tree, bytes, Stat, Stat], bool]

_PATHS_NAMED = 10  # how many refused paths an error names before it only counts them


class Pair:
    """The costly facts of one name in both trees, asked for once each."""

    def __init__(self, lower: Tree, upper: Tree, same_content: SameContent) -> None:
        self._lower = lower
        self._upper = upper
        self._same_content = same_content
        self.begin()

    def begin(self) -> None:
        """Forget the name before."""
        self.lower_xattrs: dict[str, bytes] | None = None
        self.upper_xattrs: dict[str, bytes] | None = None
        self.lower_target: bytes | None = None
        self.upper_target: bytes | None = None

    def xattrs(self, name: bytes, lower: Stat, upper: Stat) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """The attributes on both sides."""
        self.lower_xattrs = self._lower.xattrs(name, lower)
        self.upper_xattrs = self._upper.xattrs(name, upper)
        return self.lower_xattrs, self.upper_xattrs

    def targets(self, name: bytes) -> tuple[bytes, bytes]:
        """Where a symbolic link points on both sides."""
        self.lower_target = self._lower.target(name)
        self.upper_target = self._upper.target(name)
        return self.lower_target, self.upper_target

    def same_content(self, name: bytes, lower: Stat, upper: Stat) -> bool:
        """Whether two regular files of one size hold the same bytes."""
        return self._same_content(self._lower, self._upper, name, lower, upper)

    def upper_entry(self, name: bytes, upper: Stat) -> Entry:
        """UPPER's entry, with what is known already."""
        xattrs = self.upper_xattrs
        target = self.upper_target
        if xattrs is None:
            xattrs = self._upper.xattrs(name, upper)
        if target is None and S_ISLNK(upper.st_mode):
            target = self._upper.target(name)
        return Entry(upper, xattrs, target)

    def lower_entry(self, lower: Stat) -> Entry:
        """LOWER's entry, with no more than what was asked for: nothing else of it can differ."""
        return Entry(lower, self.lower_xattrs or {}, self.lower_target)


class _Held:
    """A name that is the same on both sides, as far as its own facts tell, and whose inode has
    more than one name on a side."""

    __slots__ = ("lower", "place", "stat")

    def __init__(self, place: Place, lower: Stat, stat: Stat) -> None:
        self.place = place
        self.lower = lower
        self.stat = stat

    def lower_key(self) -> Key:
        """The inode that the name has in LOWER."""
        return self.lower.st_dev, self.lower.st_ino


class Plan:
    """Decides what the difference between two trees consists of.

    ``lower``, ``upper``: the trees, both at their roots.
    ``same_content``: compares the bytes of a name's two regular files.
    ``profile``, ``style``: what counts as a difference, and how removals will be written.
    ``allow_forbidden``: let names pass that the style gives a meaning of its own.
    ``all_fields``: find every reason for a change and not only the cheapest.
    """

    def __init__(
        self,
        lower: Tree,
        upper: Tree,
        same_content: SameContent,
        profile: Profile,
        style: Style,
        tally: Tally,
        allow_forbidden: bool = False,
        all_fields: bool = False,
    ) -> None:
        self._lower = lower
        self._upper = upper
        self._pair = Pair(lower, upper, same_content)
        self._profile = profile
        self._style = style
        self._tally = tally
        self._allow_forbidden = allow_forbidden or profile.name == "native"
        self._all_fields = all_fields
        self._refused: list[tuple[bytes, str]] = []
        self._written: dict[Key, tuple[bytes, Entry]] = {}
        self._held: dict[Key, list[_Held]] = {}
        self._lower_names: dict[Key, list[Place]] = {}

    def changes(self) -> Iterator[Change]:
        """The changeset.

        Raises :class:`DifferError` when a tree cannot be read, and at the end, with the paths, when
        UPPER holds names that the style cannot express; nothing follows the first such name.
        """
        profile = self._profile
        style = self._style
        tally = self._tally
        for directory, name, lower, upper, child in walk(self._lower, self._upper, profile.links):
            tally.entries += 1
            if child is not None:
                tally.tick()
            if lower is not None and profile.links and not S_ISDIR(lower.st_mode):
                self._index_lower(directory, name, lower, upper)
            if not directory.in_upper:
                continue
            if upper is not None and S_ISSOCK(upper.st_mode) and not style.sockets:
                if profile.socket_removes and lower is not None and not S_ISSOCK(lower.st_mode):
                    yield from self._removed(directory, name, lower)
            elif upper is None:
                if lower is not None:
                    yield from self._removed(directory, name, lower)
            elif lower is None:
                self._pair.begin()
                yield from self._present(ChangeKind.ADDED, directory, name, None, upper, child, ())
            else:
                self._pair.begin()
                if S_ISREG(upper.st_mode) and one_inode(lower, upper):
                    tally.identical += upper.st_size
                fields = differing(profile, name, lower, upper, self._pair, self._all_fields)
                if fields:
                    yield from self._present(
                        ChangeKind.MODIFIED, directory, name, lower, upper, child, fields
                    )
                elif child is not None:
                    child.entry = self._pair.upper_entry(name, upper)
                else:
                    yield from self._same(directory, name, lower, upper)
        yield from self._settled()
        self._refuse()

    def _removed(self, directory: Directory, name: bytes, lower: Stat) -> Iterator[Change]:
        change = Change(ChangeKind.REMOVED, directory.path(name), Entry(lower, {}), None)
        return self._emit(directory, name, change)

    def _same(self, directory: Directory, name: bytes, lower: Stat, upper: Stat) -> Iterator[Change]:
        """A name of which no fact differs, and which is no directory."""
        if S_ISCHR(upper.st_mode) and self._style.forbids(b"", upper) is not None:
            # In LOWER it hides itself from whoever mounts the result on it.
            self._check(name, upper, lambda: directory.path(name))
        elif self._profile.links:
            if upper.st_nlink > 1 or lower.st_nlink > 1:
                yield from self._same_but_linked(directory, name, lower, upper)
        elif self._style.whole_groups and upper.st_nlink > 1:
            yield from self._same_but_linked(directory, name, lower, upper)

    def _present(
        self,
        kind: str,
        directory: Directory,
        name: bytes,
        lower: Stat | None,
        upper: Stat,
        child: Directory | None,
        fields: tuple[str, ...],
    ) -> Iterator[Change]:
        """An added or modified name, with the names of its inode that were held back."""
        path = directory.path(name)
        before = None if lower is None else self._pair.lower_entry(lower)
        key = (upper.st_dev, upper.st_ino)
        if S_ISDIR(upper.st_mode) or upper.st_nlink == 1:
            entry = self._pair.upper_entry(name, upper)
            yield from self._emit(directory, name, Change(kind, path, before, entry, fields))
            if child is not None:
                child.entry = entry
                child.written = True
        elif key in self._written:
            source, entry = self._written[key]
            yield from self._emit(directory, name, Change(kind, path, before, entry, fields, source))
        else:
            entry = self._pair.upper_entry(name, upper)
            self._written[key] = (path, entry)
            yield from self._emit(directory, name, Change(kind, path, before, entry, fields))
            for held in self._held.pop(key, ()):
                yield from self._link(held, path, entry)

    def _same_but_linked(
        self, directory: Directory, name: bytes, lower: Stat, upper: Stat
    ) -> Iterator[Change]:
        """A name that may still have to be written, for the sake of the names it is linked with."""
        key = (upper.st_dev, upper.st_ino)
        held = _Held((directory, name), lower, upper)
        if key in self._written:
            yield from self._link(held, *self._written[key])
        else:
            self._held.setdefault(key, []).append(held)

    def _link(self, held: _Held, source: bytes, entry: Entry) -> Iterator[Change]:
        directory, name = held.place
        path, before = directory.path(name), Entry(held.lower, {})
        if self._profile.links:
            change = Change(ChangeKind.MODIFIED, path, before, entry, (Field.LINKS,), source)
        else:
            change = Change(ChangeKind.UNMODIFIED, path, before, entry, (), source)
        return self._emit(directory, name, change)

    def _index_lower(self, directory: Directory, name: bytes, lower: Stat, upper: Stat | None) -> None:
        if lower.st_nlink > 1 or (upper is not None and upper.st_nlink > 1):
            self._lower_names.setdefault((lower.st_dev, lower.st_ino), []).append((directory, name))

    def _settled(self) -> Iterator[Change]:
        """The names of inodes whose set of names is another one than in LOWER, and nothing else."""
        if not self._profile.links:
            return
        changed = []
        for key, group in self._held.items():
            upper_names = [held.place for held in group]
            # All names in the group are unchanged, so each is in LOWER.  If the set of the first
            # one there is this group, it is the set of each of them.
            if self._lower_names[group[0].lower_key()] != upper_names:
                changed += [(held.place[0].path(held.place[1]), key, held) for held in group]
        changed.sort(key=lambda item: item[0].split(b"/"))
        paths: dict[Key, list[bytes]] = {}
        for path, key, _ in changed:
            paths.setdefault(key, []).append(path)
        for path, key, held in changed:
            directory, name = held.place
            lower_places = self._lower_names[held.lower_key()]
            names = ([where.path(what) for where, what in lower_places], paths[key])
            source: bytes | None = None
            if key in self._written:
                source, entry = self._written[key]
            else:
                self._upper.seek([part for part in directory.path().split(b"/") if part])
                self._pair.begin()
                entry = self._pair.upper_entry(name, held.stat)
                self._written[key] = (path, entry)
            before = Entry(held.lower, {})
            change = Change(ChangeKind.MODIFIED, path, before, entry, (Field.LINKS,), source, names)
            yield from self._emit(directory, name, change)

    def _emit(self, directory: Directory, name: bytes, change: Change) -> Iterator[Change]:
        """``change`` behind the directories above it that are not in the stream yet."""
        missing = []
        above: Directory | None = directory
        while above is not None and above.parent is not None and not above.written:
            missing.append(above)
            above = above.parent
        for parent in reversed(missing):
            parent.written = True
            entry = parent.entry
            if entry is None:
                raise AssertionError("the walk went below a directory before its entry was known")
            self._check(parent.name, entry.stat, parent.path)
            if not self._refused:
                yield Change(ChangeKind.UNMODIFIED, parent.path(), None, entry)
        facts = change.upper.stat if change.upper is not None else None
        self._check(name, facts, lambda: change.path)
        if not self._refused:
            yield change

    def _check(self, name: bytes, facts: Stat | None, path: Callable[[], bytes]) -> None:
        if self._allow_forbidden:
            return
        reason = self._style.forbids(name, facts)
        if reason is not None:
            self._refused.append((path(), reason))

    def _refuse(self) -> None:
        if not self._refused:
            return
        path, reason = self._refused[0]
        others = [printable(other) for other, _ in self._refused[1:_PATHS_NAMED]]
        more = len(self._refused) - 1 - len(others)
        if others:
            reason += "; also " + ", ".join(others) + (f" and {more} more" if more else "")
        raise DifferError(reason, path)
