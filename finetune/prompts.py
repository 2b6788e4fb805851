"""The texts by which the AI knows topics."""

from __future__ import annotations

from collections.abc import Sequence

from finetune.engine import TopicSpec, topic_prompt
from topics.models import Topic


def topic_prompts(topics: Sequence[Topic]) -> list[str]:
    """Return the text to encode for each topic; their categories have to be loaded."""
    return [
        topic_prompt(
            TopicSpec(
                label=topic.label,
                category=topic.category.label,
                description=topic.description,
                keywords=tuple(topic.keywords),
                sentiment_labels=(topic.label_positive, topic.label_neutral, topic.label_negative),
            )
        )
        for topic in topics
    ]
