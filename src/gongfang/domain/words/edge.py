"""Sentences about the edge and its domains."""

from gongfang.domain.messages import register

register({})
