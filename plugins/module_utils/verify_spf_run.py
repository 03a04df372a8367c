# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that is verified of SPF in one run, by one view of DNS: the checks, the records, and the file of all results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import Case
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_matrix import Matrix
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_tree import View
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf import Findings, verify_spf
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf_record import judged_records


def verify_spf_run(lookup: Lookup, cases: Sequence[Case], authoritative: str = "auto", matrix: str = "",
                   what_if: Mapping[str, str] | None = None, records: bool = True) -> Findings:
    """Return the findings on all checks, and with C(records) on the records of their domains.

    Arguments: C(authoritative) see Lookup.ask_by; C(matrix) the file that every result is written to, if any;
    C(what_if) see View.
    Raises: ValueError where the file cannot be written.
    """
    domains = list(dict.fromkeys(case.domain for case in cases))
    try:
        with Matrix(matrix) as rows:
            view = View(lookup, what_if, authoritative, domains)
            if records:
                view.fetch(domains)  # a record is judged for both families, whichever the addresses are of
                return verify_spf(view, cases, rows.write, lambda: judged_records(view.ask, domains, lookup.each))
            return verify_spf(view, cases, rows.write)
    except OSError as error:
        raise ValueError(f"matrix {matrix}: {error.strerror or error}: give a path that can be written") from error
