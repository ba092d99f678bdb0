"""Sentences about who may what."""

from gongfang.domain.messages import register

register({})
