"""Small folders of files, written and read as a whole."""


def write_files(folder, files):
    """Write files: POSIX path to bytes."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def read_files(folder):
    """Read all files below a folder: POSIX path to bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
