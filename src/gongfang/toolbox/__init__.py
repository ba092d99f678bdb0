"""Finds and fetches the servers and toolchains that the platform runs but never imports."""

from gongfang.toolbox.interface import Tool, Toolbox
from gongfang.toolbox.wheels import WheelToolbox

__all__ = ["Tool", "Toolbox", "WheelToolbox"]
