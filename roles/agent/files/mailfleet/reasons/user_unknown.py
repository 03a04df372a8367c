# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nobody has this address: the one reason that most dead addresses give."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "user-unknown", Kind.HARD, Scope.RECIPIENT,
    phrases={
        "user {is |}{unknown|not known|not found|not exist|not listed}": "550 5.1.1 <a@example.com>... User unknown",
        "unknown {user|recipient|local part|local-part|mailbox|account|addressee|e-mail address}":
            "550 5.1.1 unknown recipient",
        "unknown or illegal {alias|user|address}": "550 Unknown or illegal alias: a@example.com",
        "unknown address": "550 5.1.1 unknown address",
        "no such {user|mailbox|recipient|address|account|person|local user|email|e-mail|addressee|subscriber|alias}":
            "550 No such person at this address",
        "{recipient|mailbox|mail box|account|address|addressee|username|alias} "
        "{is |was |could |can |}{unknown|not found|not be found|not exist|not known|not valid|non-existent|nonexistent|"
        "not present}": "550 mailbox not found",
        "{recipient|mailbox|user|account|address|addressee|alias|@|name|person} {does not|do not|did not}"
        " {currently |}exist": "550 5.1.1 the user does not exist",
        "account that you tried to reach does not exist": "550-5.1.1 The email account that you tried to reach does not"
                                                          " exist. Please try double-checking the address.",
        "p=nosuchuser": "550 5.1.1 see https://support.google.com/mail/?p=NoSuchUser x1-2ab.3 - gsmtp",
        "does not have a{n|} * account": "554 delivery error: dd This user doesn't have a example.com account",
        "invalid {recipient|mailbox|user|addressee|e-mail address|email address|local part|rcpt}":
            "550 5.1.1 Invalid mailbox",
        "{address|user|recipient|mailbox|account|username} {is |}{invalid|wrong}": "550 address invalid",
        "invalid address": "a@example.com Invalid Address, ERROR_CODE :550",
        "{is not|not} a {known|valid|local|registered|current} {user|recipient|mailbox|address|account|customer|"
        "e-mail|email}": "550 <a@example.com> is not a valid mailbox",
        "{no|there is no} {mailbox|mail box|account} {here |}{by that name|by this name|with that name|found|available|"
        "for}": "550 sorry, no mailbox here by that name. (#5.1.1)",
        "{no one|nobody|no person} {at this address|here by that name|by that name|with that name}":
            "550 there is no one at this address",
        "no mailbox * available": "550 no mailbox of yours is available",
        "no valid recipients": "554 no valid recipients, bye",
        "{mailbox|mail box|account} {@ |}{is |}{unavailable|unavaiable|not available}":
            "550 Requested action not taken: mailbox unavailable",
        "not {present |found |listed |}in {the |our |}{directory|user list|address book|virtual mailbox table|"
        "local recipient table|relay recipient table|virtual alias table}":
            "550 address is not listed in our directory",
        "not listed in {domino|public name}": "User a (a@example.com) not listed in Domino Directory",
        "recipient {name |}{is |was |}not {recognized|recognised|accepted|local|ok|defined}":
            "The recipient name is not recognized",
        "{bad|incorrect|illegal} {destination |}{mailbox|recipient|mailbox address|user|e-mail address|email address}":
            "550 5.1.1 Bad destination mailbox address",
        "{was not|were not|could not be|can not be} found at *{~|destination|domain}":
            "It wasn't found at the destination domain.",
        "{non-existent|nonexistent|no-such|nosuch} {user|recipient|mailbox|account|address}":
            "550 [IR] non-existent user",
        "unavailable mail user": "550 unavailable mail user",
        "not {exist|exists} {that|this} {user|mailbox|account}": "550 the local server does not exists that user",
        "not {a |}user {of|on|at} this {server|system|host|domain}": "550 he is not user of this server",
        "not present in our": "550 the one you are trying to reach is not present in our dictionary",
        "no longer {valid|active|in use|in service|exists|employed|works|with us|with the company|a customer|here|on "
        "this}":
            "550 he is no longer employed",
        "{account|mailbox|address|user} {has been |was |is |}{deleted|removed|closed|terminated|cancelled|canceled}":
            "550 The mailbox has been removed",
        "{user|account|mailbox} {has |}{left|retired|been discontinued}": "550 this user has left",
        "{badrcptto|badrecipientto|validrcptto|validrecipients}":
            "553 sorry, this recipient is in my badrecipientto list (#5.7.1)",
        "recipient address rejected: {access denied|undeliverable address|unverified address: * unknown|address "
        "invalid|invalid user}":
            "550 5.1.1 <a@example.com>: Recipient address rejected: undeliverable address: host said nothing",
        "address rejected{. | @}": "550 5.1.0 Address rejected.",
        "can not {accept|find} {user|recipient}": "550 can't accept user here",
        "resolver.adr.{recipnotfound|recipientnotfound|exrecipnotfound}": "550 RESOLVER.ADR.ExRecipNotFound; no",
        "missing home directory": "550 user missing home directory",
        "recipient {verify|verification} failed": "550 recipient verify failed",
        "destination {address|addresses|server} {was|were|rejected} {unknown|recipients}":
            "the destination addresses were unknown",
        "not {our|my} {customer|user}": "550 not our customer",
        "address {may be|is} {misspelled|mistyped|mis-spelled|mis-typed}": "The address may be misspelled",
        "{utilisateur|destinataire|adresse} {inconnu|inexistant|invalide|inexistante}": "550 utilisateur inconnu !",
        "{adresse|utilisateur|destinataire|compte} * {n'existe pas|n'existe plus|est introuvable}":
            "550 l'adresse que vous avez saisie n'existe plus",
        "destinataire* invalide": "550 Adresse d au moins un destinataire est invalide. OFR_416",
        "{empfänger|empfaenger|adressat|benutzer|adresse|postfach} * {unbekannt|existiert nicht|nicht gefunden|"
        "nicht bekannt}":
            "550 Empfänger unbekannt",
        "{indirizzo|destinatario|utente} * {non è stato trovato|non esiste più}":
            "l'indirizzo di posta non è stato trovato",
        "{utente|destinatario|casella} {sconosciuto|inesistente|simile|non trovato|non esiste|desconocido}":
            "550 nessun utente simile in questo sistema",
        "no se {encontró|ha encontrado|encuentra} * {dirección|destinatario|usuario|buzón}":
            "no se encontró la dirección que indicó",
        "no existe {dicha persona|ese usuario|el usuario|la cuenta|el buzón}": "550 no existe dicha persona",
        "usuario {desconocido|no existe|no encontrado|inexistente}": "550 usuario desconocido",
        "{usuário|conta|destinatário} {desconhecido|não existe|inexistente|não encontrado}": "550 usuário desconhecido",
        "{пользователь|адресат|ящик|получатель|адрес} {не найден|не существует|неизвестен}": "550 ящик не существует",
        "{アドレス|メールアドレス|宛先|ユーザ|あて先}*{見つかりません|見つからない|存在しません}":
            "送信先メールアドレスが見つかりません",
        "{用户不存在|收件人不存在|無此使用者}": "550 收件人不存在",
        "{找不到|未找到}*{邮件地址|电子邮件|收件人|用户}": "找不到该电子邮件地址",
        "{받는 사람|수신자|사용자|주소}*{찾을 수 없|존재하지 않}": "메일 주소를 찾을 수 없습니다",
        "{gebruiker|geadresseerde|ontvanger|adres|mailadres} * {onbekend|bestaat niet|niet gevonden}":
            "550 gebruiker onbekend",
        "{unbekannter|unbekannte} {empfänger|empfaenger|benutzer|adressat|adresse}": "550 Unbekannter Empfänger",
        "{użytkownik|uzytkownik|odbiorca|adresat|konto|skrzynka} * nie istnieje": "550 taki odbiorca nie istnieje",
        "nie ma takiego {konta|użytkownika|uzytkownika|adresu|odbiorcy}": "550 nie ma takiego konta",
        "{felhasználó|felhasznalo|címzett|postafiók} nem {létezik|letezik|található}": "550 a címzett nem létezik",
        "{kullanıcı|kullanici|alıcı|alici|adres} * {bulunamadı|bulunamadi|yok}": "550 böyle bir kullanıcı yok",
        "nie znaleziono * {adres|odbiorc|użytkownik|skrzynk}": "nie znaleziono takiego adresu",
        "{adressen|mottagaren|modtageren} * {hittades inte|finns inte|blev ikke fundet|ble ikke funnet|findes ikke}":
            "adressen som du angav hittades inte",
        "{adresa|příjemce|uživatel} * {nebyla nalezena|nebyl nalezen|neexistuje}": "zadaná adresa nebyla nalezena",
        "rcp-p{#|1|3}": "550 5.1.1 RCP-P1 https://example.com/codes#rcp",
        "spectator does not exist": "550 this spectator does not exist",
        "not an active {address|mailbox|account|user}": "550 that is not an active address at this host",
        "envelope recipient has been denied": "sorry, your envelope recipient has been denied",
        "{email|e-mail} name is not found": "the user's email name is not found",
        "address no longer accepts mail": "550 this address no longer accepts mail",
        "do not know {that|this} {user|recipient|address}": "550 we do not know that user",
        "no {recipient|user|account} {of|with|by} {that|this} name": "550 there is no recipient of that name",
        "{destinatario|usuario|cuenta|buzón} no existe": "550 el destinatario no existe",
        "{нет|не существует} такого {пользователя|адреса|ящика}": "550 не существует такого пользователя",
        "addresses rejected": "550 5.4.1 All recipient addresses rejected : Access denied",
        "mailbox for @ is not available": "550 mailbox for a@example.com is not available",
        "invalid final delivery userid": "Invalid final delivery userid: a@example.com",
        "not have a final {email|e-mail|mail} delivery point": "a@example.com does not have a final email delivery "
            "point",
    },
    never=(
        "550 Message-ID not valid", "550 the certificate is not valid", "550 IP address invalid",
        "550 5.5.2 HELO: invalid address literal of the helo address",
        "450 4.2.2 <user@example.com> mailbox is full",
        "553 5.1.8 <a@example.com>... Domain of sender address a@example.com does not exist",
        "550 5.1.2 unknown host",
        "550 5.7.1 <unknown-user@example.net>: Relay access denied",
        "550 5.2.1 The email account that you tried to reach is disabled",
        "550 5.7.1 Sender address rejected: user unknown in local sender table",
    ),
    # The same words are said of what is no recipient.
    unless=("{ip|sender|from|source|return|reply-to|helo} address",
            "{sender|certificate|hostname|signature} {is |}{invalid|not|unknown}",
            "undeliverable address: * {loops back|too many hops|timed out|blocked|blacklisted|listed}",
            "too many {* |}{invalid|unknown|bad|nonexistent}"),
    statuses=(".1.1", ".1.3", ".1.10"),
)
