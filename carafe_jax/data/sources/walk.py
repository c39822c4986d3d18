"""Search of a folder for images: links are followed, other files are skipped.

- Image files are recognised by their extensions, in upper or lower case.
- Hidden files and folders (whose names begin with a dot), and folders of operating
  systems, such as `__MACOSX` and `@eaDir`, are skipped.
- Links to folders and files are followed, and each file is listed once: by its own path
  if it is in the folder, else by the first link to it. Loops of links therefore end. A
  link to a folder that contains the root or the link is skipped.
- Broken links, folders that cannot be read, pipes and other files are skipped.
- One log line has the number of skipped entries of each kind.
"""

import collections
import logging
import os
from collections.abc import Iterator

_LOGGER = logging.getLogger(__name__)
_ENDINGS = frozenset(
    [".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"]
).union([".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"])
# In lower case: folders of macOS, Synology, QNAP and Windows, and of file systems.
_SYSTEM_FOLDERS = frozenset(
    ["__macosx", "@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "$recycle.bin"]
).union(["recycler", "system volume information", "lost+found"])
_FOLDERS = ("folder", "link to a folder")
# These could contain images that the user expects.
_WARNED_KINDS = frozenset(["broken links", "folders that cannot be read"])


def image_names(root: str | os.PathLike[str], *, log: bool = True) -> list[str]:
    """Return the relative paths of the image files below a folder, sorted.

    Args:
      root: Existing folder. Its own name may begin with a dot.
      log: Whether to log the number of skipped entries.
    """
    walk = _Walk(os.fspath(root))
    names = walk.names()
    if log and walk.skipped:
        level = logging.WARNING if _WARNED_KINDS & set(walk.skipped) else logging.INFO
        counts = ", ".join(
            f"{kind}: {len(paths)} (such as {min(paths)!r})"
            for kind, paths in sorted(walk.skipped.items())
        )
        _LOGGER.log(level, "Skipped in %r: %s.", walk.root, counts)
    return names


def folder_names(root: str | os.PathLike[str]) -> list[str]:
    """Return the sub-folders of a folder that `image_names` searches, sorted."""
    with os.scandir(root) as entries:
        kinds = {entry.name: _kind(entry) for entry in entries}
    return sorted(name for name, kind in kinds.items() if kind in _FOLDERS)


class _Walk:
    """A walk through a folder."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.skipped: dict[str, list[str]] = collections.defaultdict(list)
        """Relative paths of skipped entries, by kind."""
        self._real_root = os.path.realpath(root)
        self._walked: set[str] = set()  # Real paths of folders.
        self._folder_links: list[str] = []
        self._file_links: list[str] = []

    def names(self) -> list[str]:
        """Return the relative paths of the images, sorted."""
        names = list(self._files_below([""]))
        # Links come last, so that files are listed by their own paths.
        while self._folder_links:
            links, self._folder_links = sorted(self._folder_links), []
            names += self._files_below(links)
        return sorted([*names, *self._linked_files()])

    def _files_below(self, starts: list[str]) -> Iterator[str]:
        """Yield the images below folders; store links for later."""
        for start in starts:
            waiting = [start]
            while waiting:
                folder = waiting.pop()
                real = os.path.realpath(os.path.join(self.root, folder))
                if real in self._walked:
                    self._skip("duplicate links", folder)
                    continue
                self._walked.add(real)
                for entry in self._entries(folder):
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    kind = _kind(entry)
                    if kind == "folder":
                        waiting.append(name)
                    elif kind == "image":
                        yield name
                    elif kind == "link to an image":
                        self._file_links.append(name)
                    elif kind != "link to a folder":
                        self._skip(kind, name)
                    elif self._is_ancestor(os.path.realpath(entry.path), parent=real):
                        self._skip("links to a parent folder", name)
                    else:
                        self._folder_links.append(name)

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(os.path.join(self.root, folder)) as entries:
                return sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError:
            self._skip("folders that cannot be read", folder or ".")
            return []

    def _linked_files(self) -> Iterator[str]:
        seen: set[str] = set()
        for name in sorted(self._file_links):
            target = os.path.realpath(os.path.join(self.root, name))
            folder, file = os.path.split(target)
            listed = folder in self._walked and not _is_hidden(file) and _is_image(file)
            if listed or target in seen:
                self._skip("duplicate links", name)
                continue
            seen.add(target)
            yield name

    def _is_ancestor(self, target: str, *, parent: str) -> bool:
        below = (self._real_root, parent)
        return any(os.path.commonpath([target, path]) == target for path in below)

    def _skip(self, kind: str, name: str) -> None:
        self.skipped[kind].append(name)


def _kind(entry: os.DirEntry[str]) -> str:
    """Return the kind of a folder's entry; kinds that are skipped are plural."""
    try:
        is_folder, is_file = entry.is_dir(), entry.is_file()
    except OSError:  # A link to itself, or into a folder without access.
        return "broken links"
    if _is_hidden(entry.name):
        return "hidden folders" if is_folder else "hidden files"
    if is_folder:
        if entry.name.lower() in _SYSTEM_FOLDERS:
            return "system folders"
        return "link to a folder" if entry.is_symlink() else "folder"
    if is_file and _is_image(entry.name):
        return "link to an image" if entry.is_symlink() else "image"
    if is_file:
        return "files of other kinds"
    return "broken links" if entry.is_symlink() else "pipes and devices"


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _ENDINGS
