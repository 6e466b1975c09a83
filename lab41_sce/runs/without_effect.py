"""Settings that would have no effect beside the others become one sentence.

A setting counts as given if it differs from its default: a composed configuration does not show who set a value.
"""

from typing import Any

from lab41_sce.data.settings import NoiseSettings, RoomSettings, SplitSettings
from lab41_sce.errors import UserError
from lab41_sce.models.settings import FrontEndSettings
from lab41_sce.setting import defaults


def refuse_settings_without_effect(values: dict[str, Any]) -> None:
    """Raise UserError about a setting that has no effect; a resumed run keeps such settings of its beginning.

    Args:
        values: a configuration as plain data, whose values have the declared types.
    """
    noise, corpus = values["noise"], values["corpus"]
    has_noise = noise["training_snr_db"] is not None or bool(noise["evaluation_snr_db"])
    divided = [corpus, *(() if values["splits"]["added_train_only"] else corpus["added"].values())]
    rules = [
        ("noise", "kinds", NoiseSettings, has_noise, "noise; set noise.training_snr_db or noise.evaluation_snr_db"),
        *(("rooms", name, RoomSettings, values["rooms"]["file"] is not None, "a bank of rooms; set rooms.file")
          for name in ("share", "early_seconds")),
        ("splits", "unseen_fraction", SplitSettings, any(not each["unseen_subsets"] for each in divided),
         "speakers to choose from, since corpus.unseen_subsets names the unseen ones; set corpus.unseen_subsets=[]"),
        ("splits", "added_train_only", SplitSettings, bool(corpus["added"]), "corpora in corpus.added; add some"),
        ("front_end", "range_db", FrontEndSettings, values["front_end"]["compression"] == "log",
         "front_end.compression=log; set both"),
    ]
    for group, name, settings, has_effect, remedy in rules:
        value = values[group][name]
        if value != defaults(settings)[name] and not has_effect and not values["resume"]:
            raise UserError(f"{group}.{name}={value} would have no effect without {remedy}, or remove {group}.{name}.")
