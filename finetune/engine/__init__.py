"""The learning engine: texts and reviews in, topics with probabilities out.

Pure numpy, scipy and scikit-learn; knows nothing of Django and loads torch only inside `Encoder.load`.
`docs/learning.md` describes the method and what was measured.
"""

from finetune.engine.classifier import TopicClassifier
from finetune.engine.encoder import Encoder, WeightsDamagedError, WeightsMissingError
from finetune.engine.lexical import N_LEXICAL_FEATURES, lexical_features
from finetune.engine.query import QueryStrategy
from finetune.engine.scoring import (
    TOO_FEW_ROWS,
    AiScore,
    ai_score,
    assign,
    audit_score,
    certainty,
    expected_f1,
    measured_f1,
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
from finetune.engine.topics import TopicSpec, topic_prompt

__all__ = [
    "N_LEXICAL_FEATURES",
    "TOO_FEW_ROWS",
    "AiScore",
    "Clauses",
    "Encoder",
    "QueryStrategy",
    "SentimentClassifier",
    "TopicClassifier",
    "TopicSpec",
    "WeightsDamagedError",
    "WeightsMissingError",
    "ai_score",
    "assign",
    "audit_score",
    "certainty",
    "expected_f1",
    "lexical_features",
    "measured_f1",
    "overall_sentiment",
    "overall_sentiments",
    "read_clauses",
    "sentiment_features",
    "text_sentiment",
    "topic_prompt",
]
