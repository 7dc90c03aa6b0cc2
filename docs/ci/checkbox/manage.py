#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
from plainbox.provider_manager import N_, setup

setup(
    name="plainbox-provider-seamrig",
    namespace="org.example.seamrig",
    version="1.0",
    description=N_("Linux's run-time update of the TDX module, on emulated firmware"),
    gettext_domain="plainbox-provider-seamrig",
    strict=False,
)
