# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy that OpenDKIM carries out: who may send as whom, what is signed with which key, and what is refused.

OpenDKIM runs one Lua script when the headers of a message are there and another at its end. Three of its ways shape
what is written here:

* It runs no script at all where it cannot parse the sender, and lets that mail through. So the sender that it looks
  for is a macro that Postfix sets to a constant (SENDER_MACRO), and the script reads From itself.
* Only the first script may ask for a signature, only the second may choose the words of a refusal. The first asks for
  a signature with the key REFUSED, which is none: should the second ever not refuse, signing fails and the mail waits.
* Scripts cannot look up addresses in networks. A network is the key of a table here, as a text of bits.
"""
from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

SENDER_MACRO = "{mailfleet_sender}"
SENDER = "policy@mailfleet.invalid"
REFUSED = "refused"
ANY = "*"  # in a list of domains: all of ours

_PLAIN = re.compile(r"[A-Za-z0-9@._*+-]")


@dataclass(frozen=True)
class Signing:
    """A domain that signs, with the selector of its key; C(subdomains): for every name below it, too."""

    domain: str
    selector: str
    subdomains: bool = False

    @property
    def key(self) -> str:
        """Return the name of the key in the KeyTable, which is that of its record."""
        return f"{self.selector}._domainkey.{self.domain}"


@dataclass(frozen=True)
class Policy:
    """Who may send as whom, and how.

    Attributes: C(signing) the domains that sign; C(deferred) domains of ours whose key was not seen in DNS yet;
    C(unsigned) domains of ours that leave without a signature; C(logins) login to its domains; C(networks) network to
    its domains; C(notices) host names under our domains that this server's own notices come from.
    A list of domains may hold ANY.
    """

    signing: tuple[Signing, ...] = ()
    deferred: tuple[str, ...] = ()
    unsigned: tuple[str, ...] = ()
    logins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    networks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    @property
    def domains(self) -> tuple[str, ...]:
        """Return every domain of ours."""
        return (*(entry.domain for entry in self.signing), *self.deferred, *self.unsigned)


class PolicyMistakes(ValueError):
    """What contradicts itself in a policy, a line for each; C(mistakes) holds the lines."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


def check(policy: Policy) -> None:
    """Raise PolicyMistakes where a domain stands twice, is used but not ours, or a network is none."""
    ours = policy.domains
    mistakes = [f"{domain}: found {ours.count(domain)} times in signing, deferred and allowed_unsigned, expected once"
                for domain in dict.fromkeys(ours) if ours.count(domain) > 1]
    users = {f"logins.{login}": domains for login, domains in policy.logins.items()}
    users |= {f"networks {network}": domains for network, domains in policy.networks.items()}
    mistakes += [f"{user}: found the domain {domain!r}, which is none of signing, deferred and allowed_unsigned"
                 for user, domains in users.items() for domain in domains if domain != ANY and domain not in ours]
    for network in policy.networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            mistakes.append(f"networks: {error}")
    mistakes += [f"notice_domains: found {name!r}, which is in no domain of ours; its notices would be refused. Let "
                 "the server's notices come from a sending domain (myorigin)"
                 for name in policy.notices if owner_of(name, ours) is None]
    if mistakes:
        raise PolicyMistakes(mistakes)


def owner_of(name: str, domains: Iterable[str]) -> str | None:
    """Return the longest of the domains that is the name itself or stands above it."""
    above = [domain for domain in domains if name == domain or name.endswith(f".{domain}")]
    return max(above, key=len, default=None)


def key_table(policy: Policy, directory: str) -> str:
    """Return the KeyTable: every key with its file, and the key that is none.

    Arguments: C(directory) holds the keys as C(<domain>/<selector>.pem).
    """
    lines = [f"{entry.key} {entry.domain}:{entry.selector}:{directory}/{entry.domain}/{entry.selector}.pem"
             for entry in policy.signing]
    return "\n".join([*lines, f"{REFUSED} {REFUSED}.invalid:none:none", ""])


def setup_script(policy: Policy) -> str:
    """Return the script that decides on a message when its headers are there.

    Raises: PolicyMistakes where the policy contradicts itself.
    """
    check(policy)
    names = {domain: domain for domain in policy.domains}
    names |= {name: owner_of(name, policy.domains) for name in policy.notices}
    local = {"127.0.0.0/8": (ANY,), "::1/128": (ANY,)}
    tables = {
        "names": names,
        "below": {entry.domain: True for entry in policy.signing if entry.subdomains},
        "keys": {entry.domain: entry.key for entry in policy.signing},
        "deferred": dict.fromkeys(policy.deferred, True),
        "logins": {login: dict.fromkeys(domains, True) for login, domains in policy.logins.items()},
        "networks": {_bits(network): dict.fromkeys(domains, True)
                     for network, domains in (local | dict(policy.networks)).items()},
    }
    lines = [f"local {name} = {_lua(table)}" for name, table in tables.items()]
    return "\n".join([_HEAD, *lines, _DECIDE.replace("@REFUSED@", REFUSED)])


def final_script() -> str:
    """Return the script that tells a refusal at the end of a message."""
    return f"{_HEAD}\n{_TELL}"


def _bits(network: str) -> str:
    """Return a network as the family's digit and the bits of its prefix."""
    parsed = ipaddress.ip_network(network)
    bits = f"{int(parsed.network_address):0{parsed.max_prefixlen}b}"
    return f"{parsed.version}{bits[:parsed.prefixlen]}"


def _lua(value: object) -> str:
    """Return a text, True, or a table of them as a Lua literal; any byte that is not plain becomes an escape."""
    if value is True:
        return "true"
    if isinstance(value, str):
        return '"' + "".join(char if _PLAIN.match(char) else "".join(f"\\{byte:03d}" for byte in char.encode())
                             for char in value) + '"'
    return "{" + ", ".join(f"[{_lua(key)}] = {_lua(item)}" for key, item in sorted(value.items())) + "}"


_HEAD = "-- Written by the module mailfleet.sending.opendkim_config; what is changed here is lost."

_DECIDE = r"""
-- The domain of the one mailbox in a From field (RFC 5322, 3.4), nil where there is not exactly one.
local function author(value)
  local text, quoted, depth, at = {}, false, 0, 1
  while at <= #value do
    local char = value:sub(at, at)
    if char == "\\" and (quoted or depth > 0) then
      at = at + 1
    elseif quoted then
      quoted = char ~= '"'
    elseif char == "(" then
      depth = depth + 1
      text[#text + 1] = " "
    elseif depth > 0 then
      if char == ")" then depth = depth - 1 end
    elseif char == '"' then
      quoted = true
      text[#text + 1] = "q"
    else
      text[#text + 1] = char
    end
    at = at + 1
  end
  if quoted or depth > 0 then return nil end
  local plain = table.concat(text):gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
  local address = plain:match("^[^<>@,;:()]*<([^<>]*)>$") or plain
  local domain = address:gsub("^ ", ""):gsub(" $", ""):match("^[^ <>@,;:()\\]+@([%w.-]+)$")
  return domain and domain:lower()
end

-- The domain of ours that a name belongs to.
local function owner(name)
  if names[name] then return names[name] end
  local parent = name:match("^[^.]+%.(.+)$")
  while parent do
    if below[parent] then return parent end
    parent = parent:match("^[^.]+%.(.+)$")
  end
end

local function binary(number, width)
  local digits = ""
  for _ = 1, width do
    digits = (number % 2 == 1 and "1" or "0") .. digits
    number = math.floor(number / 2)
  end
  return digits
end

-- An address as the digit of its family and its bits, nil where it is none.
local function bits(address)
  local v4 = address:match("^::ffff:(%d+%.%d+%.%d+%.%d+)$") or address:match("^%d+%.%d+%.%d+%.%d+$")
  if v4 then
    return "4" .. v4:gsub("(%d+)%.?", function(octet) return binary(tonumber(octet), 8) end)
  end
  local groups, tail, gap = {}, {}, false
  for part in (address:gsub("::", ":-:") .. ":"):gmatch("([^:]*):") do
    local list = gap and tail or groups
    if part == "-" then
      gap = true
    elseif part:match("^%x+$") then
      list[#list + 1] = binary(tonumber(part, 16), 16)
    elseif part ~= "" then
      return nil
    end
  end
  local missing = gap and 8 - #groups - #tail or 0
  local whole = table.concat(groups) .. ("0"):rep(16 * missing) .. table.concat(tail)
  return #whole == 128 and "6" .. whole or nil
end

-- The domains that the narrowest network of a client may use, nil where the client is in none.
local function of_network(client)
  local digits = client and bits(client)
  for length = digits and #digits or 0, 1, -1 do
    local found = networks[digits:sub(1, length)]
    if found then return found end
  end
end

-- A bounce of a client in a listed network. Postfix relays no null sender for those, so it is for this server itself;
-- what this server says itself, it says from loopback.
local function bounce(client)
  local sender = odkim.get_mtasymbol(ctx, "{mail_addr}")
  return (sender == "" or sender == "<>") and not (client == "::1" or client:match("^127%."))
end

local function refuse(code, status, text)
  if odkim.sign(ctx, "@REFUSED@") ~= 1 then
    odkim.set_result(ctx, SMFIS_TEMPFAIL)
  end
  odkim.export(ctx, "reply_code", code, "reply_status", status, "reply_text", (text:gsub("[^%w @._:;,=*+-]", "?")))
end

local function decide()
  local login = odkim.get_mtasymbol(ctx, "{auth_authen}")
  local client = odkim.get_clientip(ctx)
  local allowed, user
  if login and login ~= "" then
    allowed, user = logins[login] or {}, "login " .. login
  else
    allowed, user = of_network(client), "client " .. tostring(client)
    if allowed and bounce(client) then return end
  end
  if not allowed then return end -- from outside, for this server itself: neither judged nor signed
  local from = odkim.get_header(ctx, "From", 0)
  if not from then
    odkim.set_result(ctx, SMFIS_REJECT) -- a message without From cannot even get as far as the words
    return
  end
  local name = not odkim.get_header(ctx, "From", 1) and author(from)
  if not name then
    return refuse("550", "5.7.1", "From must be there once and name one address")
  end
  local domain = owner(name)
  if not domain then
    refuse("550", "5.7.1", "From domain " .. name .. ": no DKIM key of this server covers it")
  elseif not (allowed["*"] or allowed[domain]) then
    refuse("550", "5.7.1", "From domain " .. name .. ": " .. user .. " may not use it")
  elseif deferred[domain] then
    refuse("451", "4.7.5", "From domain " .. name .. ": its DKIM key has not been seen in DNS yet, try again later")
  elseif keys[domain] and odkim.sign(ctx, keys[domain]) ~= 1 then
    odkim.set_result(ctx, SMFIS_TEMPFAIL)
  end
end

if ctx then decide() end -- without a message, the script is only being checked
return nil
"""

_TELL = r"""
if reply_code then
  odkim.set_reply(ctx, reply_code, reply_status, reply_text)
  odkim.set_result(ctx, reply_code == "451" and SMFIS_TEMPFAIL or SMFIS_REJECT)
end
return nil
"""
