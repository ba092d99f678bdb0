"""Sentences about apps, releases and operations."""

from gongfang.domain.messages import register

register({})
