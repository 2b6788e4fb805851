"""The learning engine: texts and reviews in, topics with probabilities out.

Pure numpy, scipy and scikit-learn; knows nothing of Django and loads torch only inside `Encoder.load`.
`docs/learning.md` describes the method and what was measured.
"""

from finetune.engine.classifier import LentRows, TopicClassifier, TunedRows
from finetune.engine.discovery import TopicProposal, propose_topics
from finetune.engine.encoder import Encoder, WeightsDamagedError, WeightsMissingError
from finetune.engine.explain import Explanation, Neighbour, Part, explain, nearest_rows
from finetune.engine.lexical import N_LEXICAL_FEATURES, lexical_features
from finetune.engine.query import QueryStrategy, most_telling
from finetune.engine.scoring import (
    TOO_FEW_ROWS,
    AiScore,
    ExpectedCounts,
    Reliability,
    ai_score,
    assign,
    audit_score,
    audit_weights,
    certainty,
    expected_f1,
    measured_f1,
    reliability,
)
from finetune.engine.sentiment import (
    Clauses,
    SentimentClassifier,
    overall_sentiment,
    overall_sentiments,
    read_clauses,
    sentiment_features,
    text_sentiment,
)
from finetune.engine.suspects import MISSING, WRONG, Suspects, suspect_rows, suspects
from finetune.engine.topics import TopicSpec, topic_prompt

__all__ = [
    "MISSING",
    "N_LEXICAL_FEATURES",
    "TOO_FEW_ROWS",
    "WRONG",
    "AiScore",
    "Clauses",
    "Encoder",
    "ExpectedCounts",
    "Explanation",
    "LentRows",
    "Neighbour",
    "Part",
    "QueryStrategy",
    "Reliability",
    "SentimentClassifier",
    "Suspects",
    "TopicClassifier",
    "TopicProposal",
    "TopicSpec",
    "TunedRows",
    "WeightsDamagedError",
    "WeightsMissingError",
    "ai_score",
    "assign",
    "audit_score",
    "audit_weights",
    "certainty",
    "expected_f1",
    "explain",
    "lexical_features",
    "measured_f1",
    "most_telling",
    "nearest_rows",
    "overall_sentiment",
    "overall_sentiments",
    "propose_topics",
    "read_clauses",
    "reliability",
    "sentiment_features",
    "suspect_rows",
    "suspects",
    "text_sentiment",
    "topic_prompt",
]
