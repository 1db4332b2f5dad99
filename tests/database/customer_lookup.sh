#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: customer_lookup.sh PROGRAM FOLDER: the example finds the customers that it has stored in the server of this folder.
set -eu
[ -f "$2/socket_dsn" ] || exit 77
printed=$("$1" "$(cat "$2/socket_dsn")")
echo "$printed"
[ "$printed" = "customer 1: Ann
customer 2: Bob
customer 3: nobody" ]
