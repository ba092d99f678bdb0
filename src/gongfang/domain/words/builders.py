"""Sentences about builds."""

from gongfang.domain.messages import register

register({})
