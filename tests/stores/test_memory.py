from tunebook.stores.memory import Log, MemoryStore
from tunebook.testing.store import check_store


def test_memory_store_keeps_the_law() -> None:
    logs: list[Log] = []

    def make() -> MemoryStore:
        logs.append(Log())
        return MemoryStore(logs[-1])

    check_store(make, lambda: MemoryStore(logs[-1]))


def test_each_memory_store_is_a_study_of_its_own() -> None:
    assert MemoryStore().log is not MemoryStore().log
