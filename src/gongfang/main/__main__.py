"""The control plane as a process of its own: what `gongfang up --detach` starts."""

import sys

from gongfang.main.process import serve

if __name__ == "__main__":
    sys.exit(serve(notify_fd=int(sys.argv[1]) if len(sys.argv) > 1 else None))
