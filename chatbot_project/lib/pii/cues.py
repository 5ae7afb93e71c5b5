"""What a number is, by the words around it: many a digit string is a telephone number to one sentence and an order's
to the next. The nearest word before it decides, else the first one after it.
"""

import re
from enum import Enum

BEFORE = 60  # characters looked at before a number; a sentence rarely puts more between a word and its number
AFTER = 30


class Cue(Enum):
    """What the words around a number say that it is."""

    PHONE = "phone"
    ID = "id"
    CARD = "card"
    OTHER = "other"  # an order, an amount, a book: nobody's data by itself


# Beginnings of words, so that they stand for their inflected and compounded forms: English, German, French, Spanish,
# Italian, Dutch, Polish, Portuguese, the Nordic languages.
_PHONE = r"""
    phone telephon tel\b tél\b tlf mobil mobiel cell cel\b whatsapp signal\b telegram fax sms call ring\b ringa dial
    hotline text\b my\ number meine\ nummer mon\ numéro mi\ número mio\ numero mijn\ nummer mój\ numer mitt\ nummer
    meu\ número rückruf reach\ (?:me|us|him|her) text\ me voicemail handy anruf ruf\b rufe rufnummer durchwahl
    erreich telefon telefoon téléphon portable appel joindre joignable rappel móvil teléfono celular llam tfno fono
    chiam recapito bel\b bellen belt bereik gsm komór zadzwo dzwoni ligue ligar liga\b telemóvel contacto puhelin soit
    nå\s nås numer\ tel
"""
_ID = r"""
    ssn social\ sec national\ ins nino\b nhs ni\ number tax\ (?:id|number|file) taxpayer tin\b itin\b sin\b
    steuer-?id steuer-?ident identifikationsn idnr sozialvers rentenvers versicherungsn versichertenn krankenvers
    svnr sv-n vsnr rvnr kvnr ahv avs oasi ausweis personal-?id sécurité\ soc numéro\ de\ sécu sécu\b nir\b insee dni
    nie\b nif\b codice\ fisc c\.f\. cf\b bsn\b burgerserv sofi pesel personnummer person-?n pnr\b cpr\b hetu henkilö
    cpf\b fødselsn f-?nummer rijksregister registre\ nat rodné cnp\b egn\b oib\b isikukood asmens aadhaar pan\b curp
    rut\b national\ id identity\ (?:card|number) id\ (?:card|number|no) identitätsn kimlik passport
"""
_CARD = r"""
    card credit debit visa\b mastercard amex maestro karte kreditk carte tarjeta carta\b kaart karta kort\b kortti
    cartão
"""
_OTHER = r"""
    order invoice receipt tracking parcel shipment ticket ref\b reference serial part\ n sku isbn issn ean\b version
    customer client klient klant kund account\ n barcode strichcode code-barres código\ de\ b streepjesc kod\ kresk
    streckkod contract article item model build price total amount cost bestell auftrag rechnung sendung paket
    artikel seriennu vertrag aktenz preis betrag vorgang commande facture colis référence article suivi prix montant
    contrat dossier pedido factura envío referencia precio importe expediente ordine fattura spedizione articolo
    prezzo pratica bestelling factuur zending artikel prijs zamówieni faktur przesył cena zlecen order\b beställ
    paket pris\b ärende encomenda fatura preço nota\ fiscal tilaus lasku log\b id= no\. page transaction batch lot\b
    imei doi\b
"""


def _words(listed: str) -> str:
    # An escaped space stays within its word.
    return "|".join(re.split(r"(?<!\\)\s+", listed.strip()))


# Of lower-case text: without having to ignore case, each alternative is turned down at its first letter.
_CUES = re.compile(
    rf"(?<![^\W\d_])(?=[^\W\d_])(?:(?P<PHONE>{_words(_PHONE)})|(?P<ID>{_words(_ID)})|(?P<CARD>{_words(_CARD)})"
    rf"|(?P<OTHER>{_words(_OTHER)}))"
)


# A sentence that ended, or a line; in "tel. 030" and "Bestellnr. 4711" none did.
_END = re.compile(
    r"[.!?…]['\")\]]?\s+(?=[^\W\d_a-zß-ÿ]|[¿¡])|(?<=[^\W\d_]{4})(?<!nr)(?<!no)(?<!num)[.!?]\s+(?:(?=[0-9(+])|\Z)|\n"
)
_NUMBER = re.compile(r"[0-9](?:[ .\-]?[0-9]){4}")
_STOP = re.compile(r"[.!?\n)(;0-9]")


def cue_for(text: str, start: int, end: int) -> Cue | None:
    """What the words around ``text[start:end]`` say that it is. Bounded time.

    They are looked for within its sentence, first before it, then right behind. What another number was called says
    nothing of this one, unless both are on the telephone.
    """
    before = text[max(0, start - BEFORE) : start]
    if ends := [match.end() for match in _END.finditer(before)]:
        before = before[ends[-1] :]
    found = None
    for match in _CUES.finditer(before.lower()):
        found = match
    if found is None:
        behind = text[end : end + AFTER]
        stop = _STOP.search(behind)
        found = _CUES.search(behind[: stop.start()].lower() if stop else behind.lower())
        return Cue[str(found.lastgroup)] if found else None
    cue = Cue[str(found.lastgroup)]
    return None if cue is not Cue.PHONE and _NUMBER.search(before, found.end()) else cue
