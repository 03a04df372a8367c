#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: dns_records
short_description: Publish the DNS records of sending servers, and keep what is not ours
description:
  - Brings records into their zones by DNS UPDATE (RFC 2136) with TSIG. Each zone gets one atomic update, whose
    prerequisites are the values that were read before; where somebody else was faster, the zone is read anew.
  - Only values that were published before (O(published)), or that equal the wanted ones, are ever replaced or removed.
    Of the TXT values at an owner, at most one of each kind (SPF, DMARC, DKIM) is ours; all others stay to the octet.
  - A live SPF, DMARC, MX, address or PTR that somebody else published is a conflict. It is returned with the merged
    value, and stays as it is until its owner is listed in O(adopt).
  - A merged SPF value is never published, nor shown as what to publish, where it or one of O(records) that includes it
    would take more than the 10 lookups of RFC 7208, or where O(resolvers) do not say what the records take that it
    includes.
  - Records of zones without an update server are returned as zone text, as far as O(resolvers) do not see them yet.
  - Run it on the controller, or wherever the zones' primary servers can be reached.
extends_documentation_fragment:
  - mailfleet.sending.attributes
attributes:
  check_mode:
    support: full
    details:
      - Everything is read and planned, nothing is sent.
  diff_mode:
    support: full
    details:
      - One entry for each zone, with the RRsets that are touched before and after, as zone text.
options:
  zones:
    description:
      - The zones that records may belong to. A record belongs to the one with the longest name that is a suffix of its
        owner.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the zone.
        type: str
        required: true
      server:
        description:
          - Address or name of the zone's primary server. Without it, its records are to be published by hand.
        type: str
      port:
        description: Port of the server.
        type: int
        default: 53
      key:
        description: The TSIG key that signs the updates. Without it they are not signed.
        type: dict
        suboptions:
          name:
            description: Name of the key, as the server knows it.
            type: str
            required: true
          algorithm:
            description: Algorithm of the key.
            type: str
            choices: [hmac-sha256, hmac-sha384, hmac-sha512, hmac-sha224, hmac-sha1, hmac-md5]
            default: hmac-sha256
          secret:
            description: The secret, in base64. It never shows in output.
            type: str
            required: true
  records:
    description:
      - The records that are wanted. In phase V(expand) SPF values must accept the old and the new addresses.
    type: list
    elements: dict
    required: true
    suboptions: &record
      owner:
        description: Name of the record. It is absolute, with or without its final dot.
        type: str
        required: true
      type:
        description: Type of the record, such as V(A) or V(TXT).
        type: str
        required: true
      value:
        description: The value. That of TXT is the whole string without quotes, of other types the presentation form.
        type: str
        required: true
      ttl:
        description: Time to live, in seconds.
        type: int
        default: 3600
      reason:
        description: Why the record is wanted.
        type: str
        default: ""
  published:
    description:
      - What was published before, as RV(published) of the previous run returned it. Not used with O(state).
    type: list
    elements: dict
    default: []
    suboptions: *record
  state:
    description:
      - Folder on the controller where what was published is remembered between runs, in the file C(published.json).
        O(published) is then read from there, and RV(published) is written back, in check mode not.
    type: path
  adopt:
    description:
      - Owners at which a value that somebody else published may be replaced by the merged one. The merged value keeps
        every mechanism, host and report address that is there, and the stricter policy.
      - Keep the owners listed as long as the merged values stand, so that they can follow changes of the records.
    type: list
    elements: str
    default: []
  phase:
    description:
      - V(expand) adds, and replaces values of ours by such as accept the old and the new configuration.
      - V(contract) removes, too, what is in O(published) and no longer in O(records).
    type: str
    choices: [expand, contract]
    default: expand
  proof:
    description:
      - The verdicts of the probe and of verification on what stays, as M(mailfleet.sending.mail_probe),
        M(mailfleet.sending.ptr_verify), M(mailfleet.sending.spf_verify) and the like return them.
      - With it, phase V(contract) changes nothing while one of them is C(fail), C(absent) or C(unknown), or none is
        better; what would be removed is returned as RV(withheld). A probe that the inventory gives no way to make does
        not count.
      - Without it, nothing is waited for.
    type: list
    elements: dict
  expanded:
    description:
      - What the task of phase V(expand) returned. Zones that it could not write, and records for the hand that are not
        seen, count as O(proof) does. In check mode, where it had anything to publish, O(proof) does not count, since it
        is about DNS before that.
    type: dict
  resolvers:
    description:
      - Resolvers that are asked whether records that are to be published by hand are live, and what lookups the records
        of others take that a merged SPF value includes. With a port behind a colon where it is not 53; an IPv6 address
        then stands in brackets.
      - Without any, those of the system.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds that one exchange with a server may take.
    type: float
    default: 5
requirements:
  - dnspython >= 2.3
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Publish what is new, before any server is touched
  mailfleet.sending.dns_records:
    zones:
      - name: example.com
        server: 198.51.100.2
        key:
          name: mailfleet
          secret: "{{ lookup('ansible.builtin.file', 'secrets/tsig') }}"
    records:
      - {owner: example.com., type: TXT, value: "v=spf1 ip4:198.51.100.10 ~all", reason: SPF of example.com}
      - {owner: mta1.example.com., type: A, value: 198.51.100.10, ttl: 300, reason: HELO name of mta1}
      - {owner: 10.100.51.198.in-addr.arpa., type: PTR, value: mta1.example.com., reason: Address of mta1}
    resolvers:
      - 198.51.100.4
  delegate_to: localhost
  run_once: true
  register: expanded

- name: Remove what is no longer wanted, if every server was proved
  mailfleet.sending.dns_records:
    zones: "{{ sending_zones }}"
    records: "{{ desired.records }}"
    published: "{{ expanded.published }}"
    phase: contract
    proof: "{{ probe.verdicts + ptr.verdicts + spf.verdicts }}"
    expanded: "{{ expanded }}"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
zones:
  description: Every zone that has an update server and records, in order of name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the zone.
      type: str
    server:
      description: The server that was asked.
      type: str
    changes:
      description: What was (in check mode, would be) changed.
      type: list
      elements: dict
      contains:
        owner:
          description: Owner of the RRset.
          type: str
        type:
          description: Type of the RRset.
          type: str
        added:
          description: Values that were added, as a zone file has them.
          type: list
          elements: str
        removed:
          description: Values that were removed, as a zone file has them.
          type: list
          elements: str
        ttl:
          description: TTL of the RRset afterwards. It is V(null) where none is left.
          type: int
    error:
      description: Why the zone could not be read or written. It is V(null) where it could.
      type: str
published:
  description:
    - The new complete list for O(published). Without O(state), store it, also where the task failed.
  returned: always
  type: list
  elements: dict
  sample:
    - {owner: mta1.example.com., type: A, value: 198.51.100.10, ttl: 300, reason: HELO name of mta1}
conflicts:
  description:
    - Live values that somebody else published where one of ours is wanted. They are faults, and do not fail the task.
  returned: always
  type: list
  elements: dict
  contains:
    zone:
      description: Name of the zone.
      type: str
    owner:
      description: Owner of the record.
      type: str
    type:
      description: Type of the record.
      type: str
    kind:
      description: V(spf), V(dmarc) or V(dkim), the type in lower case for others, V(cname) for an alias in the way.
      type: str
    found:
      description: The live values.
      type: list
      elements: str
    wanted:
      description: Our values.
      type: list
      elements: str
    merged:
      description: The values that serve both, and weaken nothing. Empty where there are none that can be published.
      type: list
      elements: str
    mend:
      description: What to do about it.
      type: str
    reason:
      description: Why our value is wanted.
      type: str
manual:
  description: Records that nobody but you can publish, by zone, as far as they are not live.
  returned: always
  type: list
  elements: dict
  contains:
    zone:
      description: Name of the zone. It is empty for records that belong to none of O(zones).
      type: str
    text:
      description: What to publish, as zone text. Where something else is live, it is the merged value.
      type: str
    records:
      description: The records, each with its state.
      type: list
      elements: dict
      contains:
        record:
          description: The record that is wanted.
          type: dict
        status:
          description: V(absent), V(fail) where other values are live, V(unknown) where no resolver could tell.
          type: str
        found:
          description: The live values of the same owner and type, as a zone file has them.
          type: list
          elements: str
        source:
          description: The question, the names that aliases led through, and who was asked.
          type: str
        cause:
          description: Where the status is V(unknown), which resolver did not say, and why.
          type: str
        mend:
          description: What to do about it.
          type: str
crowded:
  description:
    - Answers with an SPF value of ours that other values make as large as 450 octets or larger (RFC 7208, 3.4), and
      those C(others), the largest first.
  returned: always
  type: list
  elements: dict
  sample: [{zone: example.com., owner: example.com., octets: 462, others: [{value: "MS=ms12345678", octets: 26}]}]
withheld:
  description: What phase V(contract) would have changed, as RV(zones[].changes), if O(proof) did not speak against it.
  returned: always
  type: list
  elements: dict
  sample: [{zone: example.com., owner: old.example.com., type: A, added: [], removed: [198.51.100.9], ttl: null}]
against:
  description: The verdicts that spoke against it.
  returned: always
  type: list
  elements: dict
not_checked:
  description: In check mode with O(proof), what only a run can tell of the removals that are shown.
  returned: in check mode, where anything would be changed
  type: list
  elements: str
unanswered:
  description:
    - Names of zones whose server did not answer. The task does not fail for them, the next run goes on from there.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.mailfleet.sending.plugins.module_utils import dns_publish
from ansible_collections.mailfleet.sending.plugins.module_utils.dns_update import ALGORITHMS, DNSPYTHON_ERROR

RECORD = {
    "owner": {"type": "str", "required": True},
    "type": {"type": "str", "required": True},
    "value": {"type": "str", "required": True},
    "ttl": {"type": "int", "default": 3600},
    "reason": {"type": "str", "default": ""},
}
KEY = {
    "name": {"type": "str", "required": True},
    "algorithm": {"type": "str", "choices": list(ALGORITHMS), "default": "hmac-sha256"},
    "secret": {"type": "str", "required": True, "no_log": True},
}
ZONE = {
    "name": {"type": "str", "required": True},
    "server": {"type": "str"},
    "port": {"type": "int", "default": 53},
    "key": {"type": "dict", "options": KEY, "no_log": False},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "zones": {"type": "list", "elements": "dict", "default": [], "options": ZONE},
            "records": {"type": "list", "elements": "dict", "required": True, "options": RECORD},
            "published": {"type": "list", "elements": "dict", "default": [], "options": RECORD},
            "state": {"type": "path"},
            "adopt": {"type": "list", "elements": "str", "default": []},
            "phase": {"type": "str", "choices": ["expand", "contract"], "default": "expand"},
            "proof": {"type": "list", "elements": "dict"},
            "expanded": {"type": "dict"},
            "resolvers": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": 5},
        },
        supports_check_mode=True,
    )
    if DNSPYTHON_ERROR:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=DNSPYTHON_ERROR)
    try:
        result, failures = dns_publish.run(module.params, check=module.check_mode)
    except dns_publish.Mistakes as mistakes:
        module.fail_json(msg=str(mistakes))
    for zone in result["unanswered"]:
        module.warn(next(each["error"] for each in result["zones"] if each["name"] == zone))
    if failures:
        module.fail_json(msg="\n".join(failures), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
