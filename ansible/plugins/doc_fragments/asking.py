# Copyright: the fleetnet authors
# SPDX-License-Identifier: Apache-2.0
"""Options of all that asks the collector."""

from __future__ import annotations


class ModuleDocFragment:
    """What `extends_documentation_fragment: fleetnet.fleetnet.asking` brings."""

    DOCUMENTATION = r"""
options:
  command:
    description:
      - The command line of fleetnet, by name or path, on the machine that asks.
      - It says who asks, on the collector's machine by the admin socket's group, elsewhere by C(fleetnet login).
    type: str
    default: fleetnet
  server:
    description:
      - "The collector: C(unix:///PATH) or C(HOST:7443)."
      - What C(FLEETNET_SERVER) and the configuration of C(fleetnet) say where it is left out.
    type: str
  context:
    description: A context or login of C(~/.config/fleetnet).
    type: str
  timeout:
    description: How long a silent collector is waited for, such as C(20s).
    type: str
requirements:
  - fleetnet, the command line
"""
