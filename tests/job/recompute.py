#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recomputes the orders job from the order lines alone, with Python's csv reader and integers, and compares its report.

usage: recompute.py ORDERS.csv[.zst] REPORT.json

Prints one line per difference and exits 1 if there is any. Lines that the job refused for want of memory cannot be
recomputed: with such a report only the counts that do not depend on them are compared.
"""
import collections
import csv
import io
import json
import re
import subprocess
import sys

THOUSAND = 1000
LONGEST_CUSTOMER = 64 * 1024  # bytes: what fits into Kafka's records with everything around it
csv.field_size_limit(1 << 30)
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)
SPACE = " \t\n\r\f\v"  # ASCII, as the digits: what Python calls a space or a digit otherwise is a letter in an order line
INTEGER = re.compile(r"[+-]?[0-9]+")
PRICE = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]+))?")


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        data = subprocess.run(["zstd", "-dc"], input=data, check=True, stdout=subprocess.PIPE).stdout
    return csv.reader(io.StringIO(data.decode("utf-8-sig", "surrogateescape"), newline=""))


def is_within_64_bits(number):
    return -(1 << 63) <= number < 1 << 63


def price_in_thousandths(text):
    """(sign of the exact value, thousandths cut towards zero), or None if it is no number, or beyond 64 bits."""
    match = PRICE.fullmatch(text.strip(SPACE))
    if not match or not (match[2] or match[3]):
        return None
    digits, places, exponent = int((match[2] or "") + (match[3] or "")), len(match[3] or ""), int(match[4] or 0)
    if not is_within_64_bits(exponent):
        return None
    length = len(match[2] or "") + places + 100  # an exponent beyond it changes nothing more
    scale = 3 + min(max(exponent, -length), length) - places
    thousandths = digits * 10**scale if scale >= 0 else digits // 10**-scale
    if not is_within_64_bits(thousandths):
        return None
    sign = 0 if digits == 0 else -1 if match[1] == "-" else 1
    return sign, thousandths * (sign or 1)


def judge(row):
    """(reason, customer, amount): the first bad column, or None with the amount in thousandths."""
    if len(row) != 8:
        return "line", None, 0
    customer = row[6].strip(SPACE)
    if not customer:
        return "CustomerID", None, 0
    customer = customer[:-2] if customer.endswith(".0") else customer
    if len(customer.encode("utf-8", "surrogateescape")) > LONGEST_CUSTOMER:
        return "CustomerID", None, 0
    quantity = row[3].strip(SPACE)
    if not INTEGER.fullmatch(quantity) or int(quantity) == 0 or not is_within_64_bits(int(quantity)):
        return "Quantity", None, 0
    price = price_in_thousandths(row[5])
    if price is None or price[0] <= 0:
        return "UnitPrice", None, 0
    return None, customer, int(quantity) * price[1]


def decimal_text(text):
    """A decimal string as thousandths, exactly."""
    match = re.fullmatch(r"(-?)([0-9]+)\.([0-9]{2,3})", text)
    if not match:
        return f"not a decimal: {text!r}"
    value = int(match[2]) * THOUSAND + int(match[3].ljust(3, "0"))
    return -value if match[1] else value


def shown(customer):
    """As JSON can show a name: what is not UTF-8 is a replacement character, whatever its length."""
    return re.sub("\ufffd+", "\ufffd", customer.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def lines(path):
    """The rows of all order lines: without the header and what is empty."""
    rows = read(path)
    next(rows)
    return filter(None, rows)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[2], encoding="utf-8") as file:
        report = json.load(file)
    reasons = collections.Counter({word: 0 for word in ("line", "CustomerID", "Quantity", "UnitPrice")})
    counts, totals = collections.Counter(), collections.Counter()
    for row in lines(sys.argv[1]):
        reason, customer, amount = judge(row)
        if reason:
            reasons[reason] += 1
        else:
            counts[customer] += 1
            totals[customer] += amount

    differences = []

    def compare(what, expected, found):
        if expected != found:
            differences.append(f"{what}: expected {expected}, found {found}")

    by_reason = dict(report["dead_letters"]["by_reason"])
    refused = by_reason.pop("memory", 0)
    compare("dead_letters.by_reason", dict(reasons), by_reason)
    compare("lines", sum(reasons.values()) + sum(counts.values()), report["lines"])
    compare("valid", sum(counts.values()) - refused, report["valid"])
    compare("dead_letters.total", sum(reasons.values()) + refused, report["dead_letters"]["total"])
    if refused == 0:
        compare("customers", len(counts), report["customers"])
        compare("grand_total", sum(totals.values()), decimal_text(report["grand_total"]))
        top = sorted(totals, key=lambda customer: (-totals[customer], customer))[:5]
        compare("top", [(shown(c), counts[c], totals[c]) for c in top],
                [(shown(t["customer"]), t["lines"], decimal_text(t["total"])) for t in report["top"]])
    memory = report["memory"]
    if not 0 < memory["peak_bytes"] <= memory["limit_bytes"]:
        differences.append(f"memory: peak {memory['peak_bytes']} is not within (0, {memory['limit_bytes']}]")

    print("\n".join(differences) if differences else
          f"the report agrees with {report['lines']} lines, {len(counts)} customers, {sum(reasons.values())} bad lines")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
