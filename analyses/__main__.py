"""All tables, figures and numbers of the paper: ``python analyses RUN [--out FOLDER]``."""

import sys

from from_run import main
from paper_parts import write

if __name__ == "__main__":
    sys.exit(main(write, __doc__))
