"""Sentences about tools and servers fetched as wheels."""

from gongfang.domain.messages import register

register({})
