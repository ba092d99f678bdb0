"""Sentences about files and archives."""

from gongfang.domain.messages import register

register({})
