"""From an uploaded package to a droplet. See `interface` for the way, and each module for its part."""

from gongfang.builders.archives import ArchiveLimits, remove_tree, unpack_droplet, unpack_package
from gongfang.builders.detect import builder_of, detect_builder, processes_for
from gongfang.builders.droplets import DropletCache, PackedDroplet
from gongfang.builders.host import HostConfig, ShownPath, host_config
from gongfang.builders.interface import Builder, BuildPlan, Launch, Tree
from gongfang.builders.procfile import parse_procfile, read_procfile
from gongfang.builders.script import workload_script

__all__ = [
    "ArchiveLimits",
    "BuildPlan",
    "Builder",
    "DropletCache",
    "HostConfig",
    "Launch",
    "PackedDroplet",
    "ShownPath",
    "Tree",
    "builder_of",
    "detect_builder",
    "host_config",
    "parse_procfile",
    "processes_for",
    "read_procfile",
    "remove_tree",
    "unpack_droplet",
    "unpack_package",
    "workload_script",
]
