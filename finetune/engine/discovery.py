"""Propose topics from the texts themselves: clusters of sentence vectors, named by their distinguishing phrases.

Texts that speak of one thing are clustered whole; texts that speak of several (reviews, long answers) are cut into
clauses, and a text belongs to the topics of its clauses. Which of the two, and how many clusters, is not given but
chosen by **stability**: two random halves of the texts are clustered on their own, and what counts is how well
they agree on all texts (adjusted mutual information; the idea of prediction strength, Tibshirani and Walther
2005). The clusters are Ward's (1963), refined by k-means. Names come from class-based TF-IDF (Grootendorst 2022)
over phrases of up to three words, those near in meaning to the cluster first.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_mutual_info_score

from finetune.engine.phrases import Phrases, phrase_label
from finetune.engine.sentiment import clause_texts
from finetune.engine.vectors import unit

SAMPLE_ROWS = 6_000  # clustered; the other rows are given to what was found
SAMPLE_UNITS = 9_000  # clauses: Ward's method needs the square of it in memory, 0.3 GB here
N_COMPONENTS = 50
N_SPLITS = 3
SIZES = (8, 10, 12, 14, 16, 20, 24, 30, 36, 43, 50, 60, 70, 80, 95, 110, 130, 150)
MIN_ROWS_PER_CLUSTER = 12  # on average, where so many clusters are tried
MIN_SHARE = 0.002  # smaller clusters are no topics
MIN_ROWS = 4
# Clauses must be clearly the more stable ones: where both do, whole texts are the simpler description.
CLAUSE_MARGIN = 0.05
ROW_IN_CLAUSE = 0.3  # weight of the whole text in the vector of its clause: what "it" is, is said elsewhere
TIE = 0.005
N_EXAMPLES = 3
RIDGE = 1.0
PREDICT_ROWS = 20_000

Encode = Callable[[Sequence[str]], np.ndarray]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class TopicProposal:
    """A group of rows that speak of the same, with a name.

    Attributes
    ----------
    label, category : str
    phrases : tuple of str
        What distinguishes the rows from all others, best first.
    rows : int64 array
        Indices of the rows that have it, ascending.
    examples : int64 array of at most 3
        The most typical ones, best first.
    cohesion : float
        Mean cosine between the texts (or clauses) and the cluster's mean.
    """

    label: str
    category: str
    phrases: tuple[str, ...]
    rows: np.ndarray
    examples: np.ndarray
    cohesion: float


def propose_topics(
    texts: Sequence[str],
    X: np.ndarray,
    encode: Encode,
    *,
    progress: Progress | None = None,
    random_state: int = 0,
) -> list[TopicProposal]:
    """Return topics that these texts speak of, category by category, the largest first.

    Parameters
    ----------
    texts : sequence of str
        Distinct texts; empty ones belong to no topic.
    X : ndarray of shape (n_texts, n_features)
        Their vectors of length 1.
    encode : callable
        Texts to vectors, for clauses and phrases: at most 9,000 + 3,000 short ones.
    progress : callable, optional
        Called with the share that is done, 0 to 1.
    random_state : int, default=0

    Returns
    -------
    proposals : list of TopicProposal
        Empty if there are too few texts to tell topics apart.
    """
    tell = progress or (lambda _share: None)
    rng = np.random.default_rng(random_state)
    usable = np.flatnonzero([bool(text.strip()) for text in texts])
    if len(usable) < 2 * MIN_ROWS:
        return []
    sample = np.sort(rng.permutation(usable)[:SAMPLE_ROWS])
    units = _choose_units(
        [texts[row] for row in sample], np.asarray(X[sample], dtype=np.float32), encode, rng, tell
    )
    clusters = units.clusters()
    centres = unit(_centres(units.vectors, clusters))
    tell(0.7)
    named = _named(units, clusters, centres, encode)
    tell(0.8)
    nearness = units.vectors @ centres.T
    members = _members(units, clusters, nearness, sample, X, usable)
    tell(0.95)
    proposals = []
    floor = max(MIN_ROWS, round(MIN_SHARE * len(usable)))
    for number, (label, category, phrases) in enumerate(named):
        rows = members[number]
        if len(rows) < floor or not label:
            continue
        of_cluster = np.flatnonzero(clusters == number)
        near = nearness[of_cluster, number]
        best = units.owner[of_cluster[np.argsort(-near, kind="stable")]]
        examples = sample[list(dict.fromkeys(best.tolist()))[:N_EXAMPLES]]
        proposals.append(TopicProposal(label, category, phrases, rows, examples, float(near.mean())))
    tell(1.0)
    return _in_order(proposals)


def _in_order(proposals: list[TopicProposal]) -> list[TopicProposal]:
    sizes: Counter[str] = Counter()  # rows per category
    for one in proposals:
        sizes[one.category] += len(one.rows)
    return sorted(proposals, key=lambda one: (-sizes[one.category], one.category, -len(one.rows), one.label))


# --- what is clustered ----------------------------------------------------------------------------
@dataclass
class _Units:
    """Whole texts or clauses, with the text each belongs to (its number in the sample)."""

    texts: list[str]
    vectors: np.ndarray  # length 1
    owner: np.ndarray
    points: np.ndarray  # the principal components of the vectors
    stability: float = 0.0
    n_clusters: int = 0

    @classmethod
    def make(cls, texts: list[str], vectors: np.ndarray, owner: np.ndarray) -> _Units:
        n = min(N_COMPONENTS, vectors.shape[1], len(vectors))
        points = PCA(n, svd_solver="covariance_eigh").fit_transform(vectors)
        return cls(texts, vectors, owner, points.astype(np.float32))

    def clusters(self) -> np.ndarray:
        """Return the number of the cluster of each unit: Ward's clusters, made tighter by k-means."""
        start = _centres(self.vectors, _cut(linkage(self.points, "ward"), self.n_clusters))
        with warnings.catch_warnings():  # fewer distinct texts than clusters: there are fewer clusters then
            warnings.simplefilter("ignore", ConvergenceWarning)
            refined = KMeans(len(start), init=start, n_init=1).fit(self.vectors).labels_
        return np.unique(refined, return_inverse=True)[1]

    def measure(self, rng: np.random.Generator) -> None:
        """Find the number of clusters on which two halves of the texts agree best."""
        rows, row = np.unique(self.owner, return_inverse=True)
        sizes = [size for size in SIZES if size * MIN_ROWS_PER_CLUSTER <= len(rows)] or [2, 3, 4, 6]
        found = np.zeros((N_SPLITS, len(sizes)))
        for split in range(N_SPLITS):
            half = (rng.permutation(len(rows)) < len(rows) // 2)[row]
            cuts = [_centres_of_cuts(self.points[part], sizes) for part in (half, ~half)]
            for i, (one, other) in enumerate(zip(*cuts, strict=True)):
                found[split, i] = adjusted_mutual_info_score(
                    _nearest(self.points, one), _nearest(self.points, other)
                )
        mean = found.mean(axis=0)
        best = int(np.flatnonzero(mean >= mean.max() - TIE)[-1])
        self.stability, self.n_clusters = float(mean.max()), sizes[best]


def _cut(tree: np.ndarray, n_clusters: int) -> np.ndarray:
    """Return cluster numbers from 0, without gaps; fewer than asked for where merges tie."""
    return np.unique(fcluster(tree, n_clusters, "maxclust"), return_inverse=True)[1]


def _centres_of_cuts(points: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    tree = linkage(points, "ward")
    return [_centres(points, _cut(tree, size)) for size in sizes]


def _centres(vectors: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    n = len(clusters)
    members = sp.csr_matrix((np.ones(n), (clusters, np.arange(n))))  # ten times as fast as np.add.at
    return np.asarray(members @ vectors) / np.bincount(clusters)[:, None]


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return (points @ centres.T - 0.5 * (centres**2).sum(axis=1)).argmax(axis=1)


def _choose_units(
    texts: list[str], X: np.ndarray, encode: Encode, rng: np.random.Generator, tell: Progress
) -> _Units:
    whole = _Units.make(texts, X, np.arange(len(texts)))
    whole.measure(rng)
    tell(0.15)
    order = rng.permutation(len(texts))
    parts: list[str] = []
    owner: list[int] = []
    for row in order:
        own = clause_texts(texts[row])
        if len(parts) + len(own) > SAMPLE_UNITS:
            break
        parts += own
        owner += [int(row)] * len(own)
    n_parts = Counter(owner)
    if len(parts) < 1.2 * len(n_parts):  # hardly any text has two clauses
        return whole
    fresh = [i for i, row in enumerate(owner) if n_parts[row] > 1]
    own_vectors = X[owner].copy()
    own_vectors[fresh] = encode([parts[i] for i in fresh])
    tell(0.5)
    clauses = _Units.make(parts, unit(own_vectors + ROW_IN_CLAUSE * X[owner]), np.asarray(owner))
    clauses.measure(rng)
    tell(0.6)
    return clauses if clauses.stability > whole.stability + CLAUSE_MARGIN else whole


# --- which rows have it ---------------------------------------------------------------------------
def _belongs(nearness: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return which clusters each unit belongs to: its own, and those it is as near to as half of their own are."""
    belongs = np.zeros(nearness.shape, dtype=bool)
    for number in range(nearness.shape[1]):
        belongs[:, number] = nearness[:, number] >= np.median(nearness[clusters == number, number])
    belongs[np.arange(len(clusters)), clusters] = True
    return belongs


def _members(
    units: _Units,
    clusters: np.ndarray,
    nearness: np.ndarray,
    sample: np.ndarray,
    X: np.ndarray,
    usable: np.ndarray,
) -> list[np.ndarray]:
    """Return the rows of each cluster; rows that were not clustered go where a ridge regression sends them."""
    n_clusters = int(clusters.max()) + 1
    Y = np.zeros((len(sample), n_clusters), dtype=bool)
    own, others = np.nonzero(_belongs(nearness, clusters))
    Y[units.owner[own], others] = True
    clustered = np.unique(units.owner)
    known = sample[clustered]
    Y = Y[clustered]
    unread = np.setdiff1d(usable, known, assume_unique=True)
    found = [known[Y[:, number]] for number in range(n_clusters)]
    if not len(unread):
        return found
    K = np.asarray(X[known], dtype=np.float32)
    mean, prior = K.mean(axis=0), Y.mean(axis=0)
    K = K - mean
    weights = np.linalg.solve(K.T @ K + RIDGE * np.eye(K.shape[1], dtype=np.float32), K.T @ (Y - prior))
    # As many rows per topic, and topics per row, as among those that were clustered.
    scores = K @ weights
    cut = [np.quantile(scores[:, number], 1 - prior[number]) for number in range(n_clusters)]
    is_one = units.owner.size == len(clustered)
    more: list[list[np.ndarray]] = [[] for _ in range(n_clusters)]
    for start in range(0, len(unread), PREDICT_ROWS):
        rows = unread[start : start + PREDICT_ROWS]
        scores = (np.asarray(X[rows], dtype=np.float32) - mean) @ weights
        if is_one:
            best = (scores + prior).argmax(axis=1)
            chosen = np.zeros(scores.shape, dtype=bool)
            chosen[np.arange(len(rows)), best] = True
        else:
            chosen = scores > cut
        for number in range(n_clusters):
            more[number].append(rows[chosen[:, number]])
    return [np.sort(np.concatenate([own, *rest])) for own, rest in zip(found, more, strict=True)]


# --- names ----------------------------------------------------------------------------------------
def _named(
    units: _Units, clusters: np.ndarray, centres: np.ndarray, encode: Encode
) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return label, category and phrases of each cluster; no two labels are the same."""
    n_clusters = int(clusters.max()) + 1
    phrases = Phrases.read(units.texts)
    ranked = phrases.rank(clusters, centres, encode)
    categories = _categories(units, clusters, n_clusters)
    of_unit = categories[clusters]
    of_category = phrases.rank(of_unit, unit(_centres(units.vectors, of_unit)), encode, longest=2)
    heads = _distinct(of_category)
    labels = _distinct(ranked)
    return [
        (phrase_label(labels[number]), phrase_label(heads[categories[number]]), tuple(ranked[number][:5]))
        for number in range(n_clusters)
    ]


def _categories(units: _Units, clusters: np.ndarray, n_clusters: int) -> np.ndarray:
    """Return the category of each cluster: Ward's method on the clusters' centres."""
    if n_clusters < 6:
        return np.zeros(n_clusters, dtype=int)
    tree = linkage(_centres(units.points, clusters), "ward")
    return _cut(tree, max(2, min(12, round(n_clusters**0.5))))


def _distinct(ranked: Sequence[Sequence[str]]) -> list[str]:
    """Return a phrase for each, the best that no other has taken; those with few to choose from choose first."""
    taken: set[str] = set()
    chosen = [""] * len(ranked)
    for number in sorted(range(len(ranked)), key=lambda n: (len(ranked[n]), n)):
        for phrase in ranked[number]:
            key = re.sub(r"s\b", "", phrase)
            if key not in taken:
                taken.add(key)
                chosen[number] = phrase
                break
    return chosen
