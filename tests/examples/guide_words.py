# SPDX-License-Identifier: Apache-2.0
"""The example guide_samples has every comment of the samples of the Resource Management & Circuit Breakers guide, in the guide's order.

usage: guide_words.py FOLDER
"""
import re
import sys
from pathlib import Path

COMMENTS = [
    "Configure resource limits",
    "4GB memory limit",
    "1K concurrent connections",
    "1M records",
    "80% memory usage",
    "Create resource manager",
    "Allocate memory for operation",
    "1MB",
    "Track memory usage",
    "Configure connection pooling",
    "10 min idle timeout",
    "1 hour max lifetime",
    "Get connection from pool",
    "Kafka producer/consumer pool",
    "Open after 5 failures",
    "Close after 3 successes",
    "60s timeout in open state",
    "Advanced configuration",
    "Track last 100 calls",
    "Min calls before opening",
    "5s = slow call",
    "50% slow calls = unhealthy",
    "Create circuit breaker",
    "Protect operation with circuit breaker",
    "Your risky operation here",
    "Retry conditions",
    "Don't retry these",
    "Create retry executor",
    "Execute with retry logic",
    "Your operation that might fail",
    "Serialization for failed records",
    "Route failed records to DLQ",
    "Memory usage monitoring",
    "Connection pool monitoring",
    "Circuit breaker status",
    "Generous resource limits",
    "16GB",
    "Resource management",
    "Circuit breakers for external services",
    "Aggressive retry logic",
    "Dead letter queue",
    "Conservative limits for development",
    "1GB",
    "Relaxed circuit breaker for testing",
    "More tolerant",
    "Immediate retry for faster feedback",
    "Detailed logging",
]


def main():
    files = sorted(Path(sys.argv[1]).glob("[0-9]_*.cpp"))
    there = [comment.strip() for file in files for comment in re.findall(r"// (.*)", file.read_text(encoding="utf-8"))]
    rest = iter(there)
    missing = next((comment for comment in COMMENTS if comment not in rest), None)
    if missing:
        sys.exit(f"missing, or not in its place: {missing}")
    print(f"{len(COMMENTS)} comments found in {len(files)} files")


main()

