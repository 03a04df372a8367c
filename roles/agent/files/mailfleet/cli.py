# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command ``mailfleet``.

Exit statuses: 0 done; 1 the answer is no (a token that is not valid, an address that is not suppressed); 2 a wrong
command line; 3 mistakes in the configuration; 4 the database or another host did not answer, try again; 5 what was
given cannot be used; 6 the program failed. What is printed is UTF-8, whatever the locale.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
import typing as t

from . import cli_events, cli_log, cli_log_follow, cli_services, cli_suppress, cli_tokens
from .errors import Status, Trouble
from .settings import PLACE

GROUPS = {
    "token": "signed return paths",
    "bounces": "what came back",
    "suppress": "who is not to be mailed",
    "events": "what became of mail",
    "policy": "what Postfix asks",
    "log": "what the mail log says",
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="mailfleet", description="What became of mail: bounces, complaints, and who is "
                                  "not to be mailed.", epilog=(__doc__ or "").partition("\n\n")[2],
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--config", default=os.environ.get("MAILFLEET_CONFIG", PLACE), help=f"the configuration ({PLACE})")
    commands = top.add_subparsers(required=True)
    groups = {name: commands.add_parser(name, help=told).add_subparsers(required=True)
              for name, told in GROUPS.items()}
    for part in (cli_tokens, cli_suppress, cli_events, cli_services, cli_log, cli_log_follow):
        part.add(commands, groups)
    return top


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    try:
        # JSON and lists are for programs, which expect no other, and texts are of every language.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        asked = parser().parse_args(arguments)
        status = asked.run(asked)
        sys.stdout.flush()
        return int(status)
    except Trouble as error:
        sys.stderr.write(f"mailfleet: {error}\n")
        return int(error.status)
    except BrokenPipeError:
        # Who read has enough; Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Status.DONE)
    except OSError as error:
        where = error.filename or "the system"
        sys.stderr.write(f"mailfleet: {where}: {error.strerror or error}\n")
        return int(Status.UNAVAILABLE)
    except KeyboardInterrupt:
        return 130
    except Exception:  # Python would end with 1, which a script takes for a no
        traceback.print_exc()
        return int(Status.FAILED)
