#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postfix_config
short_description: Bring main.cf, master.cf, lookup tables and certificates of Postfix to what layers say
version_added: 1.0.0
description:
  - Merges layers of parameters, services, tables and certificates into the configuration that stands. What no layer
    names stays byte for byte, comments included.
  - The result is staged and judged before anything is installed. Postfix reads it from a private folder (unused and
    undefined parameters, syntax), each daemon reads its own parameters (bad values), tables are built, and what
    they and the settings refer to must be there (tables, files, transports). A certificate must be in date, and its
    key must belong to it. Mistakes are told all at once, each with its layer.
  - A configuration that would relay for strangers is refused.
  - Tables, and certificates with their keys, are files under names of their content. New ones come first, then new
    services, then one rename switches main.cf; what is old is removed last. Postfix is reloaded, or restarted where a
    changed parameter takes effect in no other way and once open deliveries have ended, since those that are cut off
    would be sent twice.
  - Postfix counts as up when it answers with 220 where it listens, shows the certificate that it was given in a TLS
    handshake, and a message has passed its queue. Where that fails, what stood before stands again, and the task fails
    with the cause.
  - The last five generations are kept under C(/var/lib/mailfleet/postfix), for root only, with a journal. A run
    that was cut off at whatever step is undone, or carried to its end, by the next one.
  - A second run changes nothing and writes nothing.
options:
  layers:
    description:
      - Layers by name, each with C(parameters), C(services), C(tables) and C(certificates). They are merged in the
        order C(postfix), C(dkim), C(throttle), then others by name.
      - A layer that is not passed stays as it was passed the last time; the node keeps it. An empty one is removed,
        and what it had set goes back to what stood there before it.
      - A parameter is a text, a number or a truth value, or a dictionary with C(value) and C(since) or C(before),
        versions of Postfix between which it holds.
      - A service has the key C(name/type), the fields C(private), C(unprivileged), C(chroot), C(wakeup), C(maxproc)
        (each C(-) by default), C(command), and C(options), what C(-o) sets. V(null) in its place says that there is no
        such service, whoever defined it.
      - A table has C(type) (V(hash), V(btree), V(lmdb), V(texthash), V(cidr), V(pcre) or V(regexp)) and C(entries),
        a list of pairs. Of many entries C(lines) is faster, one text with a line for each, key and value apart by a
        space; they come behind C(entries). What several layers give to one table is put together in the order of the
        layers.
        With C(secret) only root and Postfix can read it, and its entries stand in O(secret_entries).
      - A certificate has C(certificate) and C(key), two files in PEM form on the controller, which ansible-vault may
        have encrypted. The first holds the server's own certificate and behind it those of the authorities between. On
        the server they become one file, for root only. A certificate that has ended, or is yet to begin, is refused,
        also where it has been installed before; one that ends within two weeks (or the last quarter of its time) is a
        warning.
      - C({table:NAME}) in a parameter or option stands for the type and path of a table, C({certificate:NAME}) for the
        path of a key with its certificate, as C(smtpd_tls_chain_files) wants it.
    type: dict
    required: true
  secret_entries:
    description:
      - Entries of secret tables by the table's name. They are neither shown nor logged.
    type: dict
    default: {}
  secret_certificates:
    description:
      - Private keys with their chains, in PEM form, by the name of a certificate for which a layer has an empty
        dictionary. They are neither shown nor logged. Where a layer names files, it is their content.
    type: dict
    default: {}
  lanes:
    description:
      - Postfix instances beside the main one, each for the mail of one provider, with its C(name) and its C(layer).
      - They are up before the main Postfix changes. One that the node has and that is not listed goes once its queue
        is empty; without this option all stay.
      - The node makes a key by which lanes know its main Postfix, C(/var/lib/mailfleet/lanes/identity.pem).
    type: list
    elements: dict
    suboptions:
      name:
        description: The name of the provider. The instance's folder is C(/etc/postfix-NAME).
        type: str
        required: true
      layer:
        description: Its whole configuration, as a layer. V({lane:fingerprint}) stands for that of the node's key.
        type: dict
        required: true
      warmup:
        description:
          - The addresses of the lane that are warmed up, as the desired state has them. A table in
            C(/var/lib/mailfleet/warmup/NAME) then decides whether mail may leave from them.
          - The unit C(mailfleet-warmup.service) keeps it. It counts by the log, is installed with the first lane that
            has such addresses, and goes with the last.
        type: dict
  prove:
    description:
      - How Postfix is proved to be up after a change. V(true) stands for all that follows, V(false) for nothing.
      - A dictionary may have C(listeners) (a list of dictionaries with C(address) and C(port), whose banners are all
        that is asked for; by default wherever the configuration has an smtpd listen), C(queue) (whether a message must
        pass the queue, V(true) by default), C(timeout) (seconds, V(30) by default) and C(restart_wait) (seconds that
        open deliveries have to end before a restart, V(60) by default).
      - The message is a verification request. It passes pickup, the milters and the queue manager, and is delivered
        to nobody. It needs no DNS. What became of it is looked for in the journal, so a C(maillog_file) is refused
        unless C(queue) is V(false).
    type: raw
    default: true
  dir:
    description: The configuration directory.
    type: path
    default: /etc/postfix
extends_documentation_fragment:
  - mailfleet.sending.attributes
attributes:
  check_mode:
    support: full
    details:
      - Exact where Postfix is installed. Where it is not yet, the diff starts from nothing, and RV(unverified)
        lists what cannot be told before installation; so it does with users that are not there, since a role that runs
        before may make them.
  diff_mode:
    support: full
    details:
      - Of a secret table it shows how many entries there are, and a digest; of a certificate the fingerprints and the
        last days of its chain.
  platform:
    platforms: debian
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Throttle two providers that share their patience
  mailfleet.sending.postfix_config:
    layers:
      throttle:
        parameters:
          transport_maps: "{table:transport}"
          throttle_destination_rate_delay: 1s
        services:
          throttle/unix: {maxproc: "1", command: smtp}
        tables:
          transport:
            type: hash
            entries:
              - [orange.fr, "throttle:"]
              - [wanadoo.fr, "throttle:"]

- name: Convert mail before it is signed, where Postfix can
  mailfleet.sending.postfix_config:
    layers:
      form:
        parameters:
          force_mime_input_conversion: {value: "yes", since: "3.9"}

- name: Show a certificate of our own
  mailfleet.sending.postfix_config:
    layers:
      tls:
        parameters:
          smtpd_tls_security_level: may
          smtpd_tls_chain_files: "{certificate:mail}"
        certificates:
          mail: {certificate: tls/mta1.example.com.crt, key: tls/mta1.example.com.key}

- name: Take the throttle away again
  mailfleet.sending.postfix_config:
    layers:
      throttle: {}
"""

RETURN = r"""
generation:
  description: The number of the generation that stands, 0 before the first.
  returned: success
  type: int
  sample: 3
postfix_version:
  description: The installed Postfix, empty where there is none yet.
  returned: success
  type: str
  sample: 3.10.13
started:
  description: Whether Postfix was started, or would be in check mode.
  returned: success
  type: bool
restarted:
  description: Whether it was restarted, or would be.
  returned: success
  type: bool
reloaded:
  description: Whether it was reloaded, or would be.
  returned: success
  type: bool
recovered:
  description: What was done about an earlier run that was cut off, empty where none was.
  returned: success
  type: str
unused:
  description: Parameters of others that this Postfix has no use for, tables and certificates that nothing refers to.
  returned: success
  type: list
  elements: str
  sample: ["main.cf: unused parameter smtpd_banna"]
unverified:
  description: What could not be told in check mode.
  returned: success
  type: list
  elements: str
lanes:
  description: The lanes that were asked for, each with its name, whether it changed, and the number of its generation.
  returned: when O(lanes) is given
  type: list
  elements: dict
  sample: [{name: google, changed: false, generation: 3}]
removed_lanes:
  description: The lanes that were removed, or would be.
  returned: when O(lanes) is given
  type: list
  elements: str
waiting_lanes:
  description: Lanes that nobody asked for and that go once their queues are empty.
  returned: when O(lanes) is given
  type: list
  elements: str
  sample: ["orange: 12 messages wait in it; the first run that finds none removes it"]
proof:
  description: The banners by listener, likewise the SHA-256 fingerprints of the certificates that were shown, and what
    became of the message; empty where nothing had to be proved.
  returned: success
  type: dict
  sample:
    banners: {"127.0.0.1:25": "220 mta1.example.com ESMTP"}
    certificates: {"127.0.0.1:25": "8F:12:5C:94:..."}
    queue: "deliverable (delivers to mailbox)"
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils.layer_lane import IDENTITY
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_apply import Failed, Run
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_lanes import Lanes
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_layers import Refused, with_secrets
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_listeners import Listener
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_proof import Proving
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs


def proving(option: object) -> Proving:
    """Return what the option `prove` asks for; raises ValueError with what is wrong with it."""
    if isinstance(option, bool):
        return Proving(enabled=option)
    if not isinstance(option, dict) or set(option) - {"listeners", "queue", "timeout", "restart_wait"}:
        raise ValueError("prove: expected true, false, or a dictionary of listeners, queue, timeout and restart_wait")
    try:
        listeners = tuple(Listener(str(one["address"]), int(one["port"])) for one in option.get("listeners", ()))
        return Proving(True, listeners, bool(option.get("queue", True)), float(option.get("timeout", Proving.timeout)),
                       float(option.get("restart_wait", Proving.restart_wait)))
    except (KeyError, TypeError, ValueError) as error:
        expected = "listeners with address and port, waits in seconds"
        raise ValueError(f"prove: found {error!r}, expected {expected}") from error


def apply(run: Run, layers: dict, lanes: list | None, check: bool) -> dict:
    """Bring up lanes, then the main Postfix, then give up what lanes are left; return the module's result."""
    if lanes is None:
        return run.apply(layers, check)
    kept = Lanes(run.programs, run.scratch, run.proving)
    up = kept.bring_up(lanes, check)
    run.pending = (IDENTITY,) if check and lanes else ()
    result = run.apply(layers, check)
    gone = kept.give_up(lanes, check)
    all_of_them = [*up, result]
    return {
        **result,
        "changed": any(one["changed"] for one in all_of_them) or bool(gone["removed"] or kept.warmups.diff),
        "diff": [pair for one in all_of_them for pair in one["diff"]] + kept.warmups.diff,
        "unverified": list(dict.fromkeys(text for one in all_of_them for text in one["unverified"])),
        "lanes": [{key: lane[key] for key in ("name", "changed", "generation")} for lane in up],
        "removed_lanes": gone["removed"],
        "waiting_lanes": gone["waiting"],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "layers": {"type": "dict", "required": True},
            "secret_entries": {"type": "dict", "default": {}, "no_log": True},
            "secret_certificates": {"type": "dict", "default": {}, "no_log": True},
            "lanes": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "name": {"type": "str", "required": True},
                    "layer": {"type": "dict", "required": True},
                    "warmup": {"type": "dict"},
                },
            },
            "prove": {"type": "raw", "default": True},
            "dir": {"type": "path", "default": "/etc/postfix"},
        },
        supports_check_mode=True,
    )
    try:
        run = Run(Programs.of(module.run_command), module.params["dir"], proving=proving(module.params["prove"]),
                  scratch=module.tmpdir)
        layers = with_secrets(module.params["layers"], module.params["secret_entries"],
                              module.params["secret_certificates"])
        result = apply(run, layers, module.params["lanes"], module.check_mode)
    except BlockingIOError:
        module.fail_json(msg="another run of postfix_config is at work on this server: try again when it has ended")
    except (Refused, Failed, ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    for warning in result.pop("warnings"):
        # Ansible does not say from which server a warning is.
        module.warn(f"{os.uname().nodename}: {warning}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
