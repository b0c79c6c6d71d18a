"""Fine-tune members across folds, so that `label_noise` has the opinion of networks that know skin."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.models.trainable import weights_file
from pipeline.stages.cross_fit.fitting import fit_out_of_fold, label_images, show
from pipeline.stages.cross_fit.params import CrossFitParams
from pipeline.stages.cross_fit.tables import OutOfFold
from pipeline.stages.dedup.tables import Groups
from pipeline.stages.ingest.tables import Images, open_pixels


def run(store: Store, params: CrossFitParams) -> None:
    """Write OutOfFold over all batches: of every member in turn, none where params name none."""
    images, groups = store.read(Images, params.batches), store.read(Groups)
    classes = diagnoses_in_scope(images["diagnosis"], params.classes)
    frames, found = [OutOfFold.empty()], [np.zeros((0, len(classes)))]
    if params.members:
        rows, labels = label_images(images, groups, classes)
        weights = {name: weights_file(store, member) for name, member in params.members.items()}
        scratch = store.scratch(params, keep="cross_fit")  # once, for all: it is named for what has been read so far
        pixels = open_pixels(store, rows)
        for name, member in params.members.items():
            own = scratch / name
            own.mkdir(exist_ok=True)
            shown = show(pixels, member, weights=weights[name], device=params.device, scratch=own)
            probabilities = fit_out_of_fold(
                member, shown, labels, folds=params.folds, seed=params.seed, weights=weights[name], scratch=own
            )
            frames.append(rows[["image_id"]].assign(member=name))
            found.append(probabilities)
    store.write(OutOfFold, pd.concat(frames), vectors={"probabilities": np.concatenate(found)})
