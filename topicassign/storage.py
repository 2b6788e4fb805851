import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from django.contrib.staticfiles import finders
from rcssmin import cssmin
from rjsmin import jsmin
from whitenoise.storage import CompressedManifestStaticFilesStorage

ENTRY = "css/app.css"
OWN_FOLDERS = ("css/", "js/")  # what others wrote (vendor, admin) is served as it came
MINIFIERS: dict[str, Callable[[str], str]] = {".css": cssmin, ".js": jsmin}
_IMPORT = re.compile(r'@import url\("([^"]+)"\) layer\((\w+)\);\n')


class ModuleStorage(CompressedManifestStaticFilesStorage):
    """Hashed, compressed static files, also inside the imports of ES modules; our own without their comments."""

    support_js_module_import_aggregation = True
    # A module's hash needs those of what it imports: a pass for each step of the longest chain. Circles never end.
    max_post_process_passes = 20

    def post_process(self, paths: dict[str, Any], dry_run: bool = False, **options: Any) -> Iterator[Any]:
        """Serve small: app.css with its imports in place (one request instead of thirty), no comments."""
        own = [name for name in paths if name.startswith(OWN_FOLDERS) and PurePosixPath(name).suffix in MINIFIERS]
        if not dry_run:
            for name in own:
                self._shrink(name)
            paths = paths | {name: (self, name) for name in own}  # Django would read the sources again
        yield from super().post_process(paths, dry_run, **options)

    def _shrink(self, name: str) -> None:
        text = bundled_stylesheet(name) if name == ENTRY else _source(name)
        with self.open(name, "wb") as file:
            file.write(MINIFIERS[PurePosixPath(name).suffix](text).encode())


def _source(name: str) -> str:
    found = finders.find(name)
    if found is None:
        raise FileNotFoundError(f"The static file {name} does not exist.")
    return Path(found).read_text(encoding="utf-8")


def bundled_stylesheet(name: str) -> str:
    """Return a style sheet with its imports in place, each in its layer, read from the sources."""
    folder = name.rpartition("/")[0]
    return _IMPORT.sub(lambda match: f"@layer {match[2]} {{\n{_source(f'{folder}/{match[1]}')}}}\n", _source(name))
