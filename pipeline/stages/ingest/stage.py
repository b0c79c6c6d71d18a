"""Write every image once: upright, in sRGB, without metadata, in a tar shard, with all that its source says of it."""

from __future__ import annotations

import os
from functools import partial

import pandas as pd

from pipeline.core.engine import map_shards
from pipeline.core.progress import say
from pipeline.core.store import Store
from pipeline.stages.ingest.accounts import stop_if_too_many, summarise
from pipeline.stages.ingest.labels import diagnose, named_taxonomy
from pipeline.stages.ingest.packing import cut, reject_rows, write_shard
from pipeline.stages.ingest.params import IngestParams
from pipeline.stages.ingest.pseudonyms import KEY_NAME, checked_key, pseudonymise
from pipeline.stages.ingest.sources.readers import READERS
from pipeline.stages.ingest.tables import Images, Rejects


def run(store: Store, params: IngestParams, instance: str) -> None:
    """Ingest one batch."""
    limits, rights = params.limits, {"licence": params.batch.licence, "attribution": params.batch.attribution}
    raw = store.input(f"data/raw/{instance}")
    mapping = named_taxonomy(store.input("taxonomies"), params.taxonomy)
    listing = diagnose(READERS[params.batch.source](raw, **rights), mapping)
    if params.batch.ids == "keyed":
        listing = pseudonymise(listing, instance, key=checked_key(os.environ.get(KEY_NAME)))
    check = partial(stop_if_too_many, raw_rows=listing.raw_rows, batch=instance, max_share=limits.max_reject_share)
    for note in listing.notes:
        say(f"warning: batch {instance}: {note}")
    check(listing.rejects)

    with store.output(f"data/ingest/{instance}/shards") as folder:
        folder.mkdir()
        write = partial(write_shard, raw=raw, shards=folder, batch=instance, limits=limits)
        work = cut(listing.entries)
        packed = list(map_shards(write, work, label=f"ingest {instance}", engine=params.engine))
        rejects = [*listing.rejects, *(reject for _, refused in packed for reject in refused)]
        check(rejects)

    images = pd.concat([Images.empty(), *(rows for rows, _ in packed)], ignore_index=True)
    rejected = reject_rows(rejects, instance)
    store.write(Images, images, instance=instance)
    store.write(Rejects, rejected, instance=instance)
    store.report(f"ingest/{instance}.json", summarise(listing, images, rejected))
