#!/usr/bin/env python3
"""moto's server, with one thing put right: a statement whose condition does not hold says nothing.

moto refuses a request as soon as a bucket's policy names its action in a statement with any condition. The bucket's policy
denies what comes without TLS, so that nothing could be written any more.
"""

import sys

from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto.server import main

decide = IAMPolicyStatement.is_action_permitted


def decide_unconditional(statement, *arguments, **named):
    # pylint: disable-next=protected-access
    if statement._statement.get("Condition"):
        return PermissionResult.NEUTRAL
    return decide(statement, *arguments, **named)


IAMPolicyStatement.is_action_permitted = decide_unconditional
main(sys.argv[1:])
