/* Looks at names that two directories have in common, for finder.py: what is not found alike here is only suspect, and
 * Python decides.  Where this file was not compiled it does so about all of them. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <fcntl.h>
#include <sys/xattr.h>
#define FLAGS O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC
static char buffers[2][1 << 18] __attribute__((aligned(4096))); /* aligned alike: see content.py */

static int same_time(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int no_xattrs(ssize_t listed) { return !listed || (listed < 0 && (errno == EOPNOTSUPP || errno == ENOSYS)); }

/* The same of a name in both directories; ``at``: in which the process stands, as there is no call for the other. */
static int are_bare(const int *dirs, int *at, const char *name)
{
    if (!no_xattrs(llistxattr(name, NULL, 0)) || fchdir(dirs[!*at]))
        return 0;
    *at = !*at;
    return no_xattrs(llistxattr(name, NULL, 0));
}

static int same_target(const int *dirs, const char *name)
{
    ssize_t length = readlinkat(dirs[0], name, buffers[0], PATH_MAX);
    return length > 0 && length == readlinkat(dirs[1], name, buffers[1], PATH_MAX) && !memcmp(buffers[0], buffers[1], length);
}

/* Whether two files of one size have no attributes, hold the same bytes, and are still what they were. */
static int same_content(const int *fds, const struct stat *f)
{
    struct stat now[2];
    off_t at = 0;
    if (!f->st_size && (pread(fds[0], buffers[0], 1, 0) || pread(fds[1], buffers[1], 1, 0)))
        return 0; /* more than it says, as in /proc */
    if (f->st_size > 1 << 26 || f[0].st_blocks < f->st_size / 512 || f[1].st_blocks < f->st_size / 512
        || !no_xattrs(flistxattr(fds[0], NULL, 0)) || !no_xattrs(flistxattr(fds[1], NULL, 0)))
        return 0; /* large or with holes: there are better ways */
    while (at < f->st_size) {
        ssize_t got = pread(fds[0], buffers[0], sizeof *buffers, at);
        if (got <= 0 || got != pread(fds[1], buffers[1], sizeof *buffers, at) || memcmp(buffers[0], buffers[1], got))
            return 0;
        at += got;
    }
    return !fstat(fds[0], now) && !fstat(fds[1], now + 1) && now[0].st_size == at && now[1].st_size == at
        && same_time(f, now) && same_time(f + 1, now + 1);
}

/* suspects(lower_fd, upper_fd, names, opened, groups, read, targets): the directories that are alike, the names that may
 * not be, bytes of files that are one inode, bytes compared.
 * opened: the names are of files, which are read.  groups: names of inodes with several are suspect.
 * read: of others, files and links count with what is in them: 0 never, 1 if their times are whole seconds, 2 always.
 * targets: links always do. */
static PyObject *suspects(PyObject *module, PyObject *args)
{
    int dirs[2], opened, groups, read, targets, at = 0;
    unsigned long long identical = 0, compared = 0;
    PyObject *names, *alike = PyList_New(0), *suspect = PyList_New(0), *result = NULL;
    if (!alike || !suspect || !PyArg_ParseTuple(args, "iiO!ppip", dirs, dirs + 1, &PyList_Type, &names, &opened, &groups,
                                                &read, &targets) || (fchdir(dirs[0]) && !PyErr_SetFromErrno(PyExc_OSError)))
        goto end;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(names); i++) {
        const char *name = PyBytes_AsString(PyList_GET_ITEM(names, i));
        int fds[2] = {-1, -1}, known = 1, same = 0;
        struct stat f[2];
        if (!name || PyErr_CheckSignals())
            goto end;
        for (int side = 0; side < 2 && known; side++)
            known = opened ? (fds[side] = openat(dirs[side], name, FLAGS)) >= 0 && !fstat(fds[side], f + side)
                           : !fstatat(dirs[side], name, f + side, AT_SYMLINK_NOFOLLOW);
        int kind = known ? f->st_mode & S_IFMT : 0;
        if ((kind == S_IFREG || (!opened && (kind == S_IFDIR || kind == S_IFLNK))) && f[0].st_mode == f[1].st_mode
            && f[0].st_uid == f[1].st_uid && f[0].st_gid == f[1].st_gid
            && (kind == S_IFDIR || (f[0].st_size == f[1].st_size && same_time(f, f + 1)
                                    && !(groups && (f[0].st_nlink > 1 || f[1].st_nlink > 1))))) {
            int whole = read == 2 || (read == 1 && !f[0].st_mtim.tv_nsec && !f[1].st_mtim.tv_nsec);
            if ((same = f[0].st_ino == f[1].st_ino && f[0].st_dev == f[1].st_dev))
                identical += kind == S_IFREG ? f->st_size : 0;
            else if (opened)
                compared += (same = same_content(fds, f)) ? f->st_size : 0;
            else
                same = are_bare(dirs, &at, name) && (kind == S_IFDIR || !(whole || (targets && kind == S_IFLNK))
                                                     || (kind == S_IFLNK && same_target(dirs, name)));
        }
        if (opened)
            close(fds[0]), close(fds[1]);
        if ((!same || kind == S_IFDIR) && PyList_Append(same ? alike : suspect, PyList_GET_ITEM(names, i)))
            goto end;
    }
    result = Py_BuildValue("OOKK", alike, suspect, identical, compared);
end:
    Py_XDECREF(alike);
    Py_XDECREF(suspect);
    return result;
}

static PyMethodDef methods[] = {{"suspects", suspects, METH_VARARGS, NULL}, {0}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_suspects", NULL, -1, methods};
PyMODINIT_FUNC PyInit__suspects(void) { return PyModule_Create(&definition); }
