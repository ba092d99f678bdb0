"""Gongfang (工坊): the application workshop of industrial internet platforms, after AII/002-2018."""

__version__ = "0.1.0"
