#!/usr/bin/env python3
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import sys
import images
from shell import Progress, LabError
try:
    images.ensure_all(sys.argv[2:] or list(images.IMAGES), Progress())
except LabError as e:
    sys.exit(str(e))
