"""A table and no code: the playbook over model families, ensembles, and a model in hand when the time is up.

    result = tune_table("csv:churn.csv?target=churned", time_limit="10m")
"""

from tunebook.tables.combine import Costed as Costed
from tunebook.tables.combine import judge_record as judge_record
from tunebook.tables.library import expected as expected
from tunebook.tables.library import library as library
from tunebook.tables.subject import goal_of as goal_of
from tunebook.tables.subject import table_of as table_of
from tunebook.tables.tune import tune_table as tune_table
