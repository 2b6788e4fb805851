"""Fine-tuning: copies of the sentence encoder that are trained on the reviews themselves.

`torch` is imported when something is trained or loaded, not before.
"""

from __future__ import annotations

import copy
import ctypes
import errno
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from finetune.engine.classifier import TopicClassifier, TunedRows
from finetune.engine.encoder import Encoder
from finetune.engine.scoring import assign, measured_f1

logger = logging.getLogger(__name__)

FORMAT = 1
N_COMPONENTS = 128
PRINCIPAL_SAMPLE = 2_000  # texts of the pool are enough to show which directions of the vectors count
WEIGHTS_FILE = "weights.safetensors"
ARRAYS_FILE = "arrays.npz"
META_FILE = "meta.json"


@dataclass(frozen=True)
class TuningOptions:
    """How to train.

    Attributes
    ----------
    n_members : int
        Copies of the encoder. Each is trained without its own part of the reviews, so that there is an honest
        opinion on every review; the answer to new rows is the mean of all.
    epochs : int
        At most; `token_budget` may allow fewer.
    token_budget : int
        Tokens (padding left out) to train on, all members and epochs together. Bounds the time: about 4,000 a
        second on two cores with bfloat16.
    min_epochs : int
        However small the budget.
    learning_rate : float
        Of the encoder's layers; topic prototypes learn ten times as fast.
    batch_texts : int
    max_tokens : int
        Longer texts are cut for training.
    contrast, temperature : float
        Weight and temperature of the contrastive loss.
    """

    n_members: int = 4
    epochs: int = 15
    token_budget: int = 500_000
    min_epochs: int = 4
    learning_rate: float = 2e-4
    batch_texts: int = 32
    max_tokens: int = 128
    contrast: float = 0.5
    temperature: float = 0.1


class TunedEncoder:
    """An encoder's fine-tuned copies, their vectors reduced to the directions that the column's texts use.

    Attributes
    ----------
    n_members, n_components : int
    n_features : int
        n_members * n_components, the length of a row of `encode`.
    heads : ndarray of shape (n_members, n_components + 1, n_topics), float32
        Log-odds of the topics at training time as a linear function of the vectors.
    """

    def __init__(self, encoder: Encoder, members: Sequence[Encoder], arrays: dict[str, np.ndarray]):
        self._base = encoder
        self._members = members
        self._center, self._basis, self.heads = arrays["center"], arrays["basis"], arrays["heads"]
        self.n_members, _, self.n_components = self._basis.shape
        self.n_features = self.n_members * self.n_components

    def encode(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Return the members' vectors of each text side by side, float32 of shape (n_texts, n_features).

        `progress` is called with the number of texts done so far, members weighing equally; it may raise to stop.
        """
        done = [0] * self.n_members

        def work(m: int, stop: threading.Event) -> np.ndarray:
            def report(n: int) -> None:
                done[m] = n
                if stop.is_set():
                    raise StoppedError

            X = self._members[m].encode(texts, progress=report)
            return (X - self._center[m]) @ self._basis[m]

        report = (lambda: progress(sum(done) // self.n_members)) if progress is not None else None
        return np.hstack(_side_by_side(work, self.n_members, report))

    def heads_for(self, columns: Sequence[int], label_X: np.ndarray) -> np.ndarray:
        """Return the heads of some topics, for `TunedRows`.

        Parameters
        ----------
        columns : sequence of int
            For each topic wanted its number at training time, -1 for a topic that is newer: the vector of its text
            takes the place of what training would have found.
        label_X : ndarray of shape (n_topics, n_features)
            `encode` of the topic texts.

        Returns
        -------
        heads : ndarray of shape (n_members, n_components + 1, n_topics), float32
        """
        numbers = np.asarray(columns, dtype=np.int64)
        known = numbers >= 0
        heads = np.zeros((self.n_members, self.n_components + 1, len(numbers)), dtype=np.float32)
        heads[:, :, known] = self.heads[:, :, numbers[known]]
        if not known.all():
            labels = label_X.reshape(len(numbers), self.n_members, self.n_components)[~known]
            size = (
                np.linalg.norm(self.heads[:, :-1], axis=1).mean(axis=1)
                if self.heads.shape[2]
                else np.ones(self.n_members)
            )
            directions = labels / np.maximum(np.linalg.norm(labels, axis=2, keepdims=True), 1e-9)
            heads[:, :-1, ~known] = np.einsum("tmd,m->mdt", directions, size)
            heads[:, -1, ~known] = self.heads[:, -1].mean(axis=1, keepdims=True) if self.heads.shape[2] else -2.0
        return heads

    def rows(self, *, X, is_unseen, pool_X, label_X, columns: Sequence[int]) -> TunedRows:
        """Return what `TopicClassifier.fit` wants, from vectors as `encode` gives them.

        Parameters
        ----------
        X, pool_X, label_X : ndarray of shape (n, n_features)
            Vectors of the reviewed rows, of the pool's sample and of the topic texts.
        is_unseen : bool ndarray of shape (n_reviewed, n_members)
        columns : see `heads_for`
        """
        label_X = np.asarray(label_X, dtype=np.float32)
        return TunedRows(
            X=self.split(X), is_unseen=is_unseen, pool_X=self.split(pool_X), label_X=self.split(label_X),
            heads=self.heads_for(columns, label_X),
        )  # fmt: skip

    def split(self, X: np.ndarray) -> np.ndarray:
        """Return vectors as (n, n_members, n_components), what `TopicClassifier` reads."""
        return X.reshape(len(X), self.n_members, self.n_components)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the trained layers (float16), projections and heads to a new folder; no pickle.

        Raises
        ------
        OSError
            If the files cannot be written, a full disk among the reasons.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {}
        for m, member in enumerate(self._members):
            for name, tensor in _layers(member.model).state_dict().items():
                tensors[f"{m}/{name}"] = tensor.detach().half().contiguous().cpu()
        try:
            save_file(tensors, folder / WEIGHTS_FILE)
        except SafetensorError as error:  # the number of the system's error is in its text only
            number = re.search(r"os error (\d+)", str(error))
            raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error
        np.savez(
            folder / ARRAYS_FILE, allow_pickle=False, center=self._center, basis=self._basis, heads=self.heads
        )
        (folder / META_FILE).write_text(json.dumps({"format": FORMAT, "encoder": self._base.key}))

    @classmethod
    def load(cls, folder: str | os.PathLike[str], encoder: Encoder) -> TunedEncoder:
        """Read what `save` wrote; `encoder` is the one it was made from.

        Raises
        ------
        ValueError
            If the files belong to another encoder or another version of the format.
        OSError
            If they are missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        try:
            meta = json.loads((folder / META_FILE).read_text(encoding="utf-8"))
        except ValueError as error:
            raise OSError(f"{folder / META_FILE} is damaged.") from error
        if meta != {"format": FORMAT, "encoder": encoder.key}:
            raise ValueError(f"{folder} was made from another encoder or by another release.")
        try:
            tensors = load_file(folder / WEIGHTS_FILE)
        except SafetensorError as error:
            raise OSError(f"{folder / WEIGHTS_FILE} is damaged.") from error
        try:
            with np.load(folder / ARRAYS_FILE, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in ("center", "basis", "heads")}
        except (BadZipFile, EOFError, KeyError, TypeError, ValueError) as error:
            raise OSError(f"{folder / ARRAYS_FILE} is damaged.") from error
        models = []
        for m in range(len(arrays["basis"])):
            model = _copy(encoder)
            start = f"{m}/"
            layers = {
                name[len(start) :]: tensor.float() for name, tensor in tensors.items() if name.startswith(start)
            }
            try:
                _layers(model).load_state_dict(layers)
            except RuntimeError as error:  # names or shapes of tensors
                raise OSError(f"{folder / WEIGHTS_FILE} does not hold the layers of copy {m}.") from error
            models.append(model.eval())
        return cls(encoder, _members(encoder, models), arrays)


def loo_f1(classifier: TopicClassifier, Y: np.ndarray) -> float:
    """Return micro-F1 on the reviewed rows, each judged by a model that did not see it."""
    return measured_f1(Y, assign(classifier.loo_proba_, classifier.thresholds_), average="micro")


def is_better(with_it: TopicClassifier, without: TopicClassifier, Y: np.ndarray) -> bool:
    """Whether a fine-tuned encoder has earned its place; Y of shape (n_reviewed, n_topics)."""
    return loo_f1(with_it, Y) > loo_f1(without, Y)


def can_tune(encoder: Any) -> bool:
    """Whether an encoder has what fine-tuning needs: a transformer with word vectors below a stack of layers."""
    if not isinstance(encoder, Encoder):
        return False
    network = getattr(encoder.model[0], "auto_model", None)
    return hasattr(network, "embeddings") and hasattr(network, "encoder")


def tuning_parts(n_reviewed: int, n_members: int, *, random_state: int = 0) -> np.ndarray:
    """Return which member is trained without each reviewed row, int of shape (n_reviewed,)."""
    return np.random.default_rng(random_state).permutation(np.arange(n_reviewed) % n_members)


def unseen_by(part: np.ndarray, n_members: int) -> np.ndarray:
    """Return which members were trained without each row, bool of shape (n_rows, n_members).

    `part`: the member that left the row out (`tuning_parts`), -1 for rows that none was trained on.
    """
    part = np.asarray(part).reshape(-1, 1)
    return (part < 0) | (part == np.arange(n_members))


def tune(
    encoder: Encoder,
    texts: Sequence[str],
    Y: np.ndarray,
    *,
    prompts: Sequence[str],
    pool_texts: Sequence[str],
    options: TuningOptions | None = None,
    random_state: int = 0,
    progress: Callable[[float], None] | None = None,
) -> tuple[TunedEncoder, np.ndarray]:
    """Fine-tune copies of an encoder on reviewed rows.

    Each copy learns, together with one prototype vector per topic, to put texts near the prototypes of their
    topics (binary cross-entropy on scaled cosines) and near texts that share topics (supervised contrastive loss).
    The topic texts take part as examples of their topics. All layers are trained, the word vectors are not.

    Parameters
    ----------
    texts : sequence of str, n_reviewed of them
    Y : ndarray of shape (n_reviewed, n_topics), 0 and 1
    prompts : sequence of str
        `topic_prompt` of the topics.
    pool_texts : sequence of str
        A sample of the column's texts; the vectors are reduced to their main directions.
    progress : callable, optional
        Called with the share done, 0 to 1, about once a second; may raise to stop.

    Returns
    -------
    tuned : TunedEncoder
    part : int ndarray of shape (n_reviewed,)
        The member that did not see the row.

    Raises
    ------
    ValueError
        If there are no topics, fewer than two rows per member, or shapes do not match.

    References
    ----------
    Khosla et al. (2020), supervised contrastive learning. Tunstall et al. (2022), few-shot fine-tuning of sentence
    encoders. Wolpert (1992), cross-fitting for stacking. Breiman (1996), averaging of models trained on parts.
    """
    options = options or TuningOptions()
    Y = np.asarray(Y)
    if Y.ndim != 2 or Y.shape != (len(texts), len(prompts)) or not Y.shape[1]:
        raise ValueError(f"Y has shape {Y.shape} for {len(texts)} texts and {len(prompts)} topics.")
    if len(texts) < 2 * options.n_members:
        raise ValueError(f"fine-tuning needs at least {2 * options.n_members} reviews, got {len(texts)}.")
    part = tuning_parts(len(texts), options.n_members, random_state=random_state)
    label_X = encoder.encode(prompts)
    trainings = [
        _Training(encoder, texts, Y, prompts, label_X, part != m, options, random_state * options.n_members + m)
        for m in range(options.n_members)
    ]
    n_tokens = sum(training.n_tokens for training in trainings)
    epochs = int(np.clip(options.token_budget // max(1, n_tokens), options.min_epochs, options.epochs))
    report = (lambda: progress(float(np.mean([t.done for t in trainings])))) if progress is not None else None
    results = _side_by_side(lambda m, stop: trainings[m].run(epochs, stop), options.n_members, report)
    models, prototypes, scales, biases = zip(*results, strict=True)
    members = _members(encoder, models)
    arrays = _reduce(members, list(pool_texts) + list(prompts), prototypes, scales, biases)
    return TunedEncoder(encoder, members, arrays), part


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let every thread compute by itself.

    Two trainings side by side are as fast as one after the other with two threads each, and much faster while
    the machine does other work: threads that wait for each other at every matrix product suffer five times.
    The result does not depend on the number of processors.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _memory_given_back() -> Iterator[None]:
    """Return freed memory to the system at the end: glibc keeps what ended threads have used.

    Without it a worker holds 1.7 GB after a deep update, and more after each further one; with it 0.9 GB.
    """
    try:
        yield
    finally:
        try:
            ctypes.CDLL(None).malloc_trim(0)
        except (AttributeError, OSError, TypeError):  # another C library, Windows
            logger.debug("memory cannot be given back here")


def _side_by_side(
    work: Callable[[int, threading.Event], Any], n: int, report: Callable[[], None] | None
) -> list[Any]:
    """Return [work(0, stop), ..., work(n - 1, stop)], computed in threads.

    `report` is called here about once a second. If it or one of the threads raises, `stop` is set, and the others
    are to end soon.
    """
    stop = threading.Event()
    with _memory_given_back(), _one_thread_each(), ThreadPoolExecutor(min(n, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(work, i, stop) for i in range(n)]
        try:
            while wait(futures, timeout=1.0).not_done:
                if report is not None:
                    report()
                for future in futures:
                    if future.done():
                        future.result()  # raises at once what went wrong
        except BaseException:
            stop.set()  # before the pool is left: that waits for its threads
            for future in futures:
                future.cancel()
            raise
        return [future.result() for future in futures]


class StoppedError(Exception):
    """Training was told to stop."""


class _Training:
    """One member's training."""

    def __init__(self, encoder, texts, Y, prompts, label_X, seen, options, random_state):
        self.done = 0.0  # share, 0 to 1
        self.encoder, self.options, self.random_state = encoder, options, random_state
        texts = [text for text, is_seen in zip(texts, seen, strict=True) if is_seen] + list(prompts)
        self.Y = np.vstack([Y[seen], np.eye(Y.shape[1])]).astype(np.float32)
        self.label_X = label_X
        self.ids = encoder.tokenize(texts, max_tokens=options.max_tokens)
        self.n_tokens = sum(len(ids) for ids in self.ids)

    def run(self, epochs: int, stop: threading.Event):
        import torch
        import torch.nn.functional as F  # noqa: N812  (its usual name)

        options, encoder = self.options, self.encoder
        rng = np.random.default_rng(self.random_state)
        model = _copy(encoder, attention="eager").eval()
        _seed_dropout(model, self.random_state)
        n_topics = self.Y.shape[1]
        prototypes = torch.nn.Parameter(torch.from_numpy(self.label_X.copy()).to(model.device))
        scale = torch.nn.Parameter(torch.tensor(float(np.log(12.0)), device=model.device))
        bias = torch.nn.Parameter(torch.full((n_topics,), -5.0, device=model.device))
        weights = list(_layers(model).parameters())
        optimizer = torch.optim.AdamW(
            [
                {"params": weights, "lr": options.learning_rate, "weight_decay": 0.01},
                {"params": [prototypes], "lr": 10 * options.learning_rate, "weight_decay": 0.0},
                {"params": [bias, scale], "lr": 0.02, "weight_decay": 0.0},
            ],
            fused=True,
        )
        n_steps = epochs * -(-len(self.ids) // options.batch_texts)
        warm = 0.1 * n_steps + 1
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, (step + 1) / warm) * max(0.02, 1 - step / n_steps)
        )
        targets = torch.from_numpy(self.Y).to(model.device)
        step = 0
        for _ in range(epochs):
            for batch in self._batches(rng):
                features = encoder.pad([self.ids[i] for i in batch])
                with torch.autocast(model.device.type, torch.bfloat16, enabled=encoder.use_bfloat16):
                    vectors = model(features)["sentence_embedding"]
                vectors = F.normalize(vectors.float(), dim=1)
                y = targets[batch]
                scores = scale.exp() * (vectors @ F.normalize(prototypes, dim=1).T) + bias
                loss = F.binary_cross_entropy_with_logits(scores, y, reduction="none").sum(dim=1).mean()
                loss = loss + options.contrast * _contrastive_loss(vectors, y, options.temperature)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
                schedule.step()
                step += 1
                self.done = step / n_steps
                if stop.is_set():
                    raise StoppedError
        # Gradients would stay with the model. The optimizer is part of a reference cycle: what it holds, twice the
        # weights, would wait for the garbage collector.
        optimizer.zero_grad(set_to_none=True)
        optimizer.state.clear()
        optimizer.param_groups.clear()
        model.eval()
        with torch.no_grad():
            for weight in weights:  # as they will be stored: vectors from before and after loading are equal
                weight.copy_(weight.half().float())
        _attention(model, encoder.model[0].auto_model.config._attn_implementation)
        with torch.no_grad():
            directions = F.normalize(prototypes, dim=1).float().cpu().numpy()
            return model, directions, float(scale.exp()), bias.detach().float().cpu().numpy()

    def _batches(self, rng) -> list[np.ndarray]:
        """Return batches of texts of similar length (padding costs half the time otherwise), in random order."""
        size = self.options.batch_texts
        lengths = np.array([len(ids) for ids in self.ids])
        order = rng.permutation(len(lengths))
        batches = []
        for start in range(0, len(order), 8 * size):
            block = order[start : start + 8 * size]
            block = block[np.argsort(lengths[block], kind="stable")]
            batches += [block[i : i + size] for i in range(0, len(block), size)]
        return [batches[i] for i in rng.permutation(len(batches))]


def _seed_dropout(model, seed: int) -> None:
    """Give the feed-forward layers a dropout with a random stream of its own; it ends with `model.eval()`.

    Trainings that run side by side would otherwise draw from one stream in whatever order they come. The attention
    and what follows it are not dropped: the model comes here in evaluation mode.
    """
    import torch

    class SeededDropout(torch.nn.Module):
        def __init__(self, p: float, stream: torch.Generator):
            super().__init__()
            self.p, self.stream = p, stream

        def forward(self, x):
            if not self.training:
                return x
            keep = torch.empty(x.shape, device=x.device).bernoulli_(1 - self.p, generator=self.stream)
            return x * keep.to(x.dtype) / (1 - self.p)

    stream = torch.Generator(device=model.device)
    stream.manual_seed(seed)
    for module in list(_layers(model).modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.Dropout) and "self" not in type(module).__name__.lower():
                setattr(module, name, SeededDropout(child.p, stream))


def _contrastive_loss(vectors, y, temperature):
    """Return the supervised contrastive loss; pairs weigh by the share of topics they have in common."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    n_topics = y.sum(dim=1)
    shared = (y @ y.T) / torch.maximum(n_topics[:, None], n_topics[None, :]).clamp(min=1)
    shared = shared.fill_diagonal_(0)
    itself = torch.eye(len(y), dtype=torch.bool, device=y.device)
    log_p = F.log_softmax((vectors @ vectors.T / temperature).masked_fill(itself, -1e9), dim=1)
    total = shared.sum(dim=1)
    has_partner = total > 0
    loss = -(log_p * shared).sum(dim=1) / total.clamp(min=1e-6)
    return (loss * has_partner).sum() / has_partner.sum().clamp(min=1)


def _members(encoder: Encoder, models: Sequence[Any]) -> list[Encoder]:
    return [
        Encoder(model, name="tuned", version=str(m), use_bfloat16=encoder.use_bfloat16)
        for m, model in enumerate(models)
    ]


def _reduce(members: list[Encoder], sample, prototypes, scales, biases) -> dict[str, np.ndarray]:
    """Return centre and main directions of each member's vectors, and its head in these coordinates.

    Training leaves the vectors few directions: 128 of 384 numbers give the same F1 within 0.2 points.
    """
    n_members, n_features = len(members), members[0].n_features
    width = min(N_COMPONENTS, n_features)
    centers = np.zeros((n_members, n_features), dtype=np.float32)
    bases = np.zeros((n_members, n_features, width), dtype=np.float32)
    heads = np.zeros((n_members, width + 1, len(prototypes[0])), dtype=np.float32)
    for m, X in enumerate(_side_by_side(lambda m, stop: members[m].encode(sample), n_members, None)):
        centers[m] = X.mean(axis=0)
        values, directions = np.linalg.eigh(np.cov(X - centers[m], rowvar=False, bias=True).astype(np.float64))
        directions = directions[:, np.argsort(-values, kind="stable")[:width]]
        directions *= np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(width)])
        bases[m] = directions
        heads[m, :-1] = scales[m] * (bases[m].T @ prototypes[m].T)
        heads[m, -1] = scales[m] * (prototypes[m] @ centers[m]) + biases[m]
    return {"center": centers, "basis": bases, "heads": heads}


def _copy(encoder: Encoder, attention: str | None = None):
    """Return a copy of the encoder's model that shares its word vectors and trains everything else."""
    model = encoder.model
    embeddings = model[0].auto_model.embeddings
    copied = copy.deepcopy(model, {id(embeddings): embeddings})
    copied.requires_grad_(True)
    embeddings.requires_grad_(False)
    if attention is not None:
        _attention(copied, attention)
    return copied


def _layers(model):
    """Return what is trained: the transformer's layers."""
    return model[0].auto_model.encoder


def _attention(model, kind: str) -> None:
    # Written-out attention: on a CPU the backward pass of the fused one takes half of all time.
    model[0].auto_model.set_attn_implementation(kind)
