"""Where vectors lie, for processes that only look: without numpy's and scikit-learn's seconds of import."""

from __future__ import annotations

import json
import re
from pathlib import Path

from django.conf import settings


def features_folder(column_id: int, encoder_key: str) -> Path:
    """Return where what an encoder made of a column's texts is kept."""
    return Path(settings.CACHE_DIR) / "features" / re.sub(r"[^A-Za-z0-9.-]+", "-", encoder_key) / str(column_id)


def n_cached(folder: Path) -> int:
    """Return how many texts have a vector, without opening the cache for writing."""
    try:
        return int(json.loads((folder / "meta.json").read_text())["n"])
    except (OSError, ValueError, KeyError):
        return 0
