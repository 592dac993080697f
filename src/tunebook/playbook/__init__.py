"""The playbook: stages from a baseline to a finished model, each one question, its trials, and what follows."""

from tunebook.playbook.base import Base as Base
from tunebook.playbook.base import Chapter as Chapter
from tunebook.playbook.base import Conclusion as Conclusion
from tunebook.playbook.base import Round as Round
from tunebook.playbook.base import Stage as Stage
from tunebook.playbook.base import play as play
from tunebook.playbook.baseline import Baseline as Baseline
from tunebook.playbook.confirm import Confirm as Confirm
from tunebook.playbook.exploit import Exploit as Exploit
from tunebook.playbook.explore import Explore as Explore
from tunebook.playbook.explore import Refine as Refine
from tunebook.playbook.finalize import Finalize as Finalize
