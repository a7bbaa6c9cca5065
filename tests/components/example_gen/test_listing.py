from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.example_gen.listing import read_batch, write_listing
from data.sources import ImageFile
from schema.features import Split

# Names of files may hold any byte, also what is no UTF-8; Python keeps those as surrogates.
NAMES = st.binary(min_size=1, max_size=20).map(lambda name: name.decode("utf-8", "surrogateescape"))
FILES = st.builds(
    ImageFile,
    path=NAMES.map(Path),
    source=st.text(max_size=20),
    label=st.text(max_size=5),
    split=st.sampled_from([None, *Split]),
    span=st.integers(1, 999_999_999),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(FILES, max_size=20), batch_size=st.integers(1, 7))
def test_batches_read_back_every_file_in_order(tmp_path, files, batch_size):
    path = tmp_path / "index" / "listing"
    batches = write_listing(path, files, batch_size=batch_size)
    assert [file for batch in batches for file in read_batch(path, batch)] == files
    assert all(batch.count <= batch_size for batch in batches)
