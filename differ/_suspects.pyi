def suspects(
    lower_fd: int,
    upper_fd: int,
    names: list[bytes],
    opened: bool,
    groups: bool,
    read: int,
    targets: bool,
    /,
) -> tuple[list[bytes], list[bytes], int, int]: ...
