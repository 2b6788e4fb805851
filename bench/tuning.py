"""Measure what fine-tuning the encoder on the reviews adds to a light update.

    python bench/tuning.py ../shared/data/nlupp.csv.gz --reviews 300 --seeds 0,1

Reviews random rows, fits the light classifier on the frozen encoder's vectors, trains a copy of the encoder on
the same reviews, fits the classifier again on the new vectors, and prints micro- and macro-F1 on the rows that
were not reviewed: frozen, tuned, and both with their log-odds averaged. This is an experiment beside the
product; its results are in docs/learning.md.

The training is that of a bi-encoder with one learned prototype per topic, started at the topic's own vector
(binary cross-entropy on scaled cosines), plus a supervised contrastive loss between texts that share topics
(Khosla et al. 2020; weighted by the share of common topics).
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from scipy.special import expit, logit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from finetune.engine import Encoder, TopicClassifier, assign, lexical_features, topic_prompt
from finetune.engine.simulate import Dataset, load_dataset

BATCH_TEXTS = 32
MAX_TOKENS = 128
TEMPERATURE = 0.1
POOL_SAMPLE = 5_000


def train(
    encoder: Encoder, texts: list[str], Y: np.ndarray, label_X: np.ndarray, options: argparse.Namespace
) -> tuple[Encoder, np.ndarray]:
    """Return a fine-tuned copy of the encoder and the prototypes, shape (n_topics, n_features)."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = copy.deepcopy(encoder._model).train()
    network = model[0].auto_model
    for part in (network.embeddings, *network.encoder.layer[: options.frozen_layers]):
        part.requires_grad_(False)
    prototypes = torch.nn.Parameter(torch.from_numpy(label_X.copy()))
    scale = torch.nn.Parameter(torch.tensor(float(np.log(12.0))))
    bias = torch.nn.Parameter(torch.full((len(label_X),), -5.0))
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": weights, "lr": options.lr, "weight_decay": 0.01},
            {"params": [prototypes], "lr": 10 * options.lr, "weight_decay": 0.0},
            {"params": [bias, scale], "lr": 0.02, "weight_decay": 0.0},
        ]
    )
    n_steps = options.epochs * -(-len(texts) // BATCH_TEXTS)
    warm = 0.1 * n_steps + 1
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / warm) * max(0.02, 1 - step / n_steps)
    )
    ids = model.tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]
    targets = torch.from_numpy(Y.astype(np.float32))
    for _ in range(options.epochs):
        order = rng.permutation(len(texts))
        for start in range(0, len(order), BATCH_TEXTS):
            batch = order[start : start + BATCH_TEXTS]
            padded = model.tokenizer.pad({"input_ids": [ids[i] for i in batch]}, return_tensors="pt")
            with torch.autocast("cpu", torch.bfloat16, enabled=encoder._use_bfloat16):
                vectors = model(dict(padded))["sentence_embedding"]
            vectors = F.normalize(vectors.float(), dim=1)
            y = targets[batch]
            scores = scale.exp() * (vectors @ F.normalize(prototypes, dim=1).T) + bias
            loss = F.binary_cross_entropy_with_logits(scores, y, reduction="none").sum(dim=1).mean()
            loss = loss + options.contrast * contrastive_loss(vectors, y)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
    model.eval()
    tuned = Encoder(model, name="tuned", version="0", use_bfloat16=encoder._use_bfloat16)
    return tuned, F.normalize(prototypes, dim=1).detach().numpy()


def contrastive_loss(vectors: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    n_topics = y.sum(dim=1)
    shared = (y @ y.T) / torch.maximum(n_topics[:, None], n_topics[None, :]).clamp(min=1)
    shared = shared.fill_diagonal_(0)
    itself = torch.eye(len(y), dtype=torch.bool)
    log_p = F.log_softmax((vectors @ vectors.T / TEMPERATURE).masked_fill(itself, -1e9), dim=1)
    total = shared.sum(dim=1)
    has_partner = total > 0
    loss = -(log_p * shared).sum(dim=1) / total.clamp(min=1e-6)
    return (loss * has_partner).sum() / has_partner.sum().clamp(min=1)


def f1(Y: np.ndarray, Y_hat: np.ndarray) -> str:
    hits, true, found = (Y & Y_hat).sum(axis=0), Y.sum(axis=0), Y_hat.sum(axis=0)
    micro = 2 * hits.sum() / (true.sum() + found.sum())
    return f"{micro:.4f} / {np.mean(2 * hits / np.maximum(true + found, 1)):.4f}"


def measure(dataset: Dataset, encoder: Encoder, seed: int, options: argparse.Namespace) -> None:
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(dataset.texts), options.reviews, replace=False))
    pool = np.setdiff1d(np.arange(len(dataset.texts)), rows)
    prompts = [topic_prompt(topic) for topic in dataset.topics]
    X_lex, label_X_lex = lexical_features(dataset.texts), lexical_features(prompts)

    def light(X: np.ndarray, label_X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        part = pool[:POOL_SAMPLE]
        model = TopicClassifier(random_state=0).fit(
            X[rows], dataset.Y[rows], label_X=label_X, X_lex=X_lex[rows], label_X_lex=label_X_lex,
            pool_X=X[part], pool_X_lex=X_lex[part],
        )  # fmt: skip
        return model.predict_proba(X[pool], X_lex[pool]), model.thresholds_

    label_X = encoder.encode(prompts)
    Y = dataset.Y[pool].astype(bool)
    found: dict[str, Any] = {"frozen": light(encoder.encode(dataset.texts), label_X)}
    began = time.perf_counter()
    tuned, prototypes = train(encoder, [dataset.texts[i] for i in rows], dataset.Y[rows], label_X, options)
    seconds = time.perf_counter() - began
    found["tuned"] = light(tuned.encode(dataset.texts), prototypes)
    log_odds = [logit(np.clip(proba, 1e-4, 1 - 1e-4)) for proba, _ in found.values()]
    found["both"] = expit(np.mean(log_odds, axis=0)), np.mean([cut for _, cut in found.values()], axis=0)
    line = ", ".join(f"{name} {f1(Y, assign(*answer))}" for name, answer in found.items())
    print(f"seed {seed}: {line}; trained {seconds:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--reviews", type=int, default=300)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--contrast", type=float, default=0.5, help="weight of the contrastive loss")
    parser.add_argument("--frozen-layers", type=int, default=0, help="besides the word vectors")
    options = parser.parse_args()
    encoder = Encoder.load(None)
    for seed in [int(seed) for seed in options.seeds.split(",")]:
        measure(load_dataset(options.dataset, seed), encoder, seed, options)


if __name__ == "__main__":
    main()
