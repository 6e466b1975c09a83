"""The configuration: defaults in one place, a sentence for each impossible value, experiments that compose."""

import re
import subprocess
import sys
from dataclasses import dataclass, fields

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from lab41_sce.errors import UserError
from lab41_sce.methods.settings import Arguments
from lab41_sce.plain_data import MAX_ALIASES, MAX_BYTES, MAX_DEPTH
from lab41_sce.runs import config_schema
from lab41_sce.runs.config_schema import CONFIG_PATH, Settings, check, compose_config, quoted_overrides, setting_names
from lab41_sce.setting import check_fields, defaults, setting


@pytest.mark.parametrize(("override", "wanted"), [
    ("corpus=librispeech", "corpus.root must be given"),
    ("training.updates=-3", "training.updates=-3 is not possible; give a whole number of at least 1, or null"),
    ("training.minutes=soon", "training.minutes=soon is not possible"),
    ("training.warmup_updates=-5", "training.warmup_updates=-5"),
    ("training.decay=linear", "training.decay=linear is not possible; give one of cosine, none"),
    ("mixtures.batch_size=2.5", "mixtures.batch_size=2.5"),
    ("mixtures.n_speakers=1", "at least 2"),
    ("+method@others.rival=deep_clustering", "others.rival.name=deep_clustering is not possible"),
    ("+exp.name=mine", "exp.name is no setting; begin the file of the experiment with this line: # @package _global_"),
    ("method.name=3", "method.name=3 is not possible; give a name of letters from a to z, digits, _ and -."),
    ("method.name=../x", "method.name=../x is not possible; give a name of letters from a to z, digits, _ and -."),
    ("method.name=''", "method.name= is not possible; give a name of letters from a to z, digits, _ and -."),
    ("~method.name", "method.name must be given; write the name of the system into its file"),
    ("network=band_split", "network.units is no setting of this network, but the experiment sets it; remove it by"),
    ("method.build._target_=lab41_sce.methods.pit.biuld", "lab41_sce/methods/pit.py has no biuld; did you mean build"),
    ("method.build._target_=lab41_sce.methods.pitt.build", "no file lab41_sce/methods/pitt.py; did you mean pit?"),
    ("method.build._target_=mine.build", "or use one that returns voices from anywhere, by method=waveform."),
    ("front_end._target_=mine.FrontEnd", "the front end is lab41_sce.models.front_end.FrontEnd; change its settings."),
    ("method.build._target_=lab41_sce.methods.waveform.import_module", "waveform.py has no import_module"),
    ("method=nmf_supervised evaluation.splits=[unseen]", "which can be scored on in-set only"),
    ("mixtures.same_sex=50", "at most 1, or null"),
    ("evaluation.splits=[training]", "give a list of different values, each one of unseen, in-set"),
    ("evaluation.splits=null", "give a list"),
    ("corpus.subsets=train-clean-100", "corpus.subsets=train-clean-100 is not possible; give a list"),
    ("corpus.check=sample", "give one of samples, headers"),
    ("evaluation.seconds=null", "evaluation.seconds=None"),
    ("evaluation.jobs=0", "evaluation.jobs=0"),
    ("noise.training_snr_db=[15,-5]", "give the lowest and the highest ratio in dB"),
    ("noise.training_snr_db=5", "give a list of values, each a number, or null"),
    ("noise.evaluation_snr_db=[0,0]", "give a list of different values, each a number"),
    ("noise.kinds=[brown]", "each one of white, pink"),
    ("noise.kinds=[folder]", "give noise.folder=PATH"),
    ("noise.folder=.", "noise.folder=. would have no effect, since noise.kinds does not contain folder"),
    ("noise.folder=. noise.kinds=[folder]", "set noise.training_snr_db or noise.evaluation_snr_db"),
    ("noise.kinds=[white]", "noise.kinds=['white'] would have no effect without noise; set noise.training_snr_db or"),
    ("rooms.share=0.3", "rooms.share=0.3 would have no effect without a bank of rooms; set rooms.file, or remove"),
    ("rooms.early_seconds=0.1", "rooms.early_seconds=0.1 would have no effect without a bank of rooms"),
    ("rooms.file=absent.npz", "rooms.file=absent.npz is not a file; give one that lab41-sce rooms has drawn."),
    ("rooms.file=/dev/null", "rooms.file=/dev/null is not a file"),
    (f"rooms.file={__file__} rooms.share=0", "would have no effect with rooms.share=0; give a larger share, or remove"),
    ("rooms.share=1.5", "rooms.share=1.5 is not possible; give a number of at least 0 and at most 1"),
    ("rooms.early_seconds=-1", "rooms.early_seconds=-1 is not possible"),
    ("splits.unseen_fraction=0.5 corpus.unseen_subsets=[x]", "would have no effect without speakers to choose from"),
    ("evaluation.splits=[unseen,unseen]", "give a list of different values, each one of unseen, in-set, validation"),
    ("splits.validation_fraction=0", "splits.validation_fraction=0 is not possible; give a number of at least 1e-06"),
    ("splits.added_train_only=false", "splits.added_train_only=False would have no effect without corpora"),
    ("front_end.range_db=40 front_end.compression=sqrt", "would have no effect without front_end.compression=log"),
    ("training.workers=2", "training.workers=2 would have no effect without training.strategy=mirrored"),
    ("training.workers=2 training.strategy=multi_worker", "training.workers=2 would have no effect"),
    ("noise.folder=nowhere", "noise.folder=nowhere is not a folder"),
    ("+noise.kind=[white]", "noise.kind is no setting; did you mean noise.kinds?"),
    ("+validation.xyz=1", "validation.xyz is no setting; there are per_kind, seconds, batches."),
    ("+method@others.saved=saved", "others.saved.build.path must be given"),
    ("seed=-1", "seed=-1"),
    ("training.beta_2=1.0", "training.beta_2=1.0 is not possible; give a number of at least 0 and below 1"),
    ("front_end.compression=cube", "front_end.compression=cube is not possible; give one of sqrt, log"),
    ("evaluation.splits=[]", "give some of unseen"),
    ("training.updates=null", "training would never end"),
    ("mixtures.speeds=[0.1]", "give a list of different values, each a number of at least 0.5 and at most 2"),
    ("mixtures.speeds=[1.0,1.0]", "give a list of different values"),
    ("mixtures.telephone=1.5", "at most 1"),
    ("evaluation.join=perhaps", "give true or false"),
    ("training.minutes=inf", "training.minutes=inf is not possible"),
    ("noise.evaluation_snr_db=[nan]", "noise.evaluation_snr_db=[nan] is not possible"),
    ("noise.training_snr_db=[-inf,inf]", "noise.training_snr_db=[-inf, inf] is not possible"),
    ("front_end.pre_emphasis=2", "at least 0 and below 1"),
    ("front_end.range_db=-5", "front_end.range_db=-5 is not possible; give a number of at least 1"),
    ("mixtures.speaker_shares={2:inf}", "give a positive share for each number of speakers"),
    ("mixtures.speaker_shares={0:1.0}", "give a positive share for each number of speakers"),
    ("mixtures.speaker_shares=[0.5,0.5]", "give a mapping, or null"),
    ("method.build._target_=os.system", "method.build._target_=os.system is not possible"),
    ("network._target_=lab41_sce.runs.subprocess.run", "network._target_=lab41_sce.runs.subprocess.run"),
    ("+method.build.more={_target_:os.system}", "method.build.more._target_=os.system is not possible"),
    ("+network.more=[{_target_:os.system}]", "network.more.0._target_=os.system is not possible"),
    ("+network.more='${oc.create:{_target_:os.system}}'", "network.more._target_=os.system is not possible"),
    ("+network.more='${nothing}'", "an expression between ${ and } in a setting is not possible"),
    ("mixtures=5", "mixtures=5 is not possible, since mixtures is a group of settings"),
    ("others.unprocessed=5", "others.unprocessed=5 is not possible"),
    ("noise.folder=5", "noise.folder=5 is not possible; give a text (a number in quotes), or null"),
    ("corpus.min_age=adult", "corpus.min_age=adult is not possible; give a whole number of at least 0, or null"),
    ("corpus=librispeech_speechocean762 corpus.root=x", "corpus.added.speechocean762.root must be given"),
    ("+corpus@corpus.added.more=embedded", "corpus.added.more.name=embedded is not possible; give a corpus its own"),
    ("corpus.added=5", "corpus.added=5 is not possible; give a mapping"),
    ("+corpus.added.more=5", "corpus.added.more=5 is not possible, since corpus.added.more is a group of settings"),
    ("+corpus.added.more.root=x", "corpus.added.more.name=None is not possible; give a text"),
    ("+corpus.added={a+b:{root:x}}", "corpus.added has a corpus with the name 'a+b'"),
    ("+corpus@corpus.added.embedded=embedded +corpus.added.embedded.rot=x",
     "corpus.added.embedded.rot is no setting; did you mean corpus.added.embedded.root?"),
    ("+corpus@corpus.added.embedded=embedded +corpus@corpus.added.embedded.added.more=embedded",
     "add all corpora to corpus.added."),
    ("+corpus.mib_seconds=1", "corpus.mib_seconds is no setting; did you mean corpus.min_seconds?"),
    ("+trainin.minutes=3", "trainin.minutes is no setting; did you mean training.minutes?"),
    ("+minuts=3", "minuts is no setting; did you mean training.minutes?"),
    ("+xyz=3", "xyz is no setting; --settings lists the settings."),
    ("+front_end.hop_lenght=3", "front_end.hop_lenght is no setting; did you mean front_end.hop_length?"),
    ("+network.unit=3", "network.unit is no setting; did you mean network.units?"),
    ("+method.abuot=x", "method.abuot is no setting; did you mean method.about?"),
    ("+method.build.scael=3", "method.build.scael is no setting; did you mean method.build.scale?"),
    ("method=pit_cnn +method.build.network.filter=3",
     "method.build.network.filter is no setting; did you mean method.build.network.filters?"),
    ("+others.unprocessed.build.x=3", "others.unprocessed.build.x is no setting; there are none here."),
    ("+method@othres.sce=sce", "othres.sce.name is no setting; did you mean others."),
])
def test_an_impossible_value_gets_one_sentence(override, wanted):
    config = compose_config(["+exp=smoke", *override.split()])
    with pytest.raises(UserError, match=re.escape(wanted)):
        check(config)


def test_the_unseen_fraction_has_an_effect_on_an_added_corpus(tmp_path):
    given = ["+exp=smoke", "corpus=librispeech_speechocean762", f"corpus.root={tmp_path}", "splits.unseen_fraction=0.1",
             f"corpus.added.speechocean762.root={tmp_path}"]
    assert check(compose_config([*given, "splits.added_train_only=false"])).splits.unseen_fraction == 0.1
    with pytest.raises(UserError, match="splits.unseen_fraction=0.1 would have no effect"):
        check(compose_config(given))


@pytest.mark.parametrize(("overrides", "wanted"), [
    # Without a bin in the loss, training would not move a weight and end with exit status 0.
    ("method.build.loss_range_db=-3", "method.build.loss_range_db=-3 is not possible; give a number of at least 0, or"),
    ("method.build.range_db=nan", "method.build.range_db=nan is not possible"),
    ("method.build.soft_scale=-1", "method.build.soft_scale=-1 is not possible"),  # the masks of the other voices
    ("method.build.loss_range_db=much", "give a number of at least 0, or null"),
    ("method.build.unit_norm=3", "give true or false"),
    ("network.n_layers=0", "network.n_layers=0 is not possible; give a whole number of at least 1"),
    ("method=attractor method.build.momentum=2", "at least 0 and at most 1"),
    ("method=recurrent_mask method.build.gamma=-1", "method.build.gamma=-1"),
    ("method=nmf_blind method.build.power=0", "method.build.power=0"),
    ("+method@others.nmf_blind=nmf_blind others.nmf_blind.build.max_iter=0", "others.nmf_blind.build.max_iter=0"),
    ("method=pit_cnn method.build.network.convolutions=[0,1,1]", "method.build.network.convolutions=[0, 1, 1]"),
    ("method=pretrained +method.build.changes.soft_scale=-1", "method.build.changes.soft_scale=-1"),
])
def test_a_value_of_a_system_outside_its_range_gets_one_sentence(overrides, wanted):
    with pytest.raises(UserError, match=re.escape(wanted)):
        check(compose_config(["+exp=smoke", *overrides.split()]))


def test_every_argument_of_a_system_has_a_range():
    """The files `experiments/method` and `experiments/network` describe the arguments."""
    declared = {item.name for item in fields(Arguments)}
    for file in [*(CONFIG_PATH / "method").glob("*.yaml"), *(CONFIG_PATH / "network").glob("*.yaml")]:
        described = yaml.safe_load(file.read_text("utf-8"))
        for call in (described.get("build", described), described.get("build", {}).get("network") or {}):
            names = {name for name in call if not name.startswith("_")}
            assert names - {"network", "path", "embedder", "changes", "name", "about", "defaults"} <= declared, file


def test_every_experiment_composes(tmp_path):
    bank = tmp_path / "bank.npz"
    bank.touch()
    needed = {"complex_masks_rooms": [f"rooms.file={bank}"]}
    for file in sorted((CONFIG_PATH / "exp").glob("*.yaml")):
        given = [f"+exp={file.stem}", "corpus=librispeech", "corpus.root=x"]
        if file.stem in needed:
            with pytest.raises(UserError, match=r"set rooms\.file"):
                check(compose_config(given))
        config = compose_config([*given, *needed.get(file.stem, [])])
        assert check(config).name == config.name == file.stem
    assert compose_config(["+exp=three_speaker"]).mixtures.n_speakers == 3
    article = compose_config(["+exp=article", "corpus.root=x"])
    rival = compose_config(["+exp=article", "corpus.root=x", "method=deep_clustering"])
    assert article.method.build.unit_norm is False and rival.method.build.embedding_size == 40
    assert article.corpus.subsets == ["train-clean-100"]
    assert (article.network.units, article.embedding_size, article.mixtures.batch_size) == (300, 40, 256)


def test_every_corpus_composes_with_its_licence():
    for file in sorted((CONFIG_PATH / "corpus").glob("*.yaml")):
        settings = check(compose_config([f"corpus={file.stem}", "corpus.root=x", "training.updates=1"] + [
            "corpus.added.speechocean762.root=y"] * (file.stem == "librispeech_speechocean762")))
        assert settings.corpus.name == file.stem and settings.corpus.licence


def test_a_corpus_of_two_keeps_the_settings_of_each():
    given = ["corpus=librispeech_speechocean762", "corpus.root=x", "corpus.added.speechocean762.root=y",
             "corpus.added.speechocean762.min_age=18", "corpus.check=headers", "training.updates=1"]
    both, alone = check(compose_config(given)).corpus, check(compose_config(["+exp=smoke", "corpus=librispeech",
                                                                             "corpus.root=x"])).corpus
    assert (both.root, both.subsets, both.unseen_subsets, both.min_age) == ("x", alone.subsets, ["test-other"], None)
    [(name, added)] = both.added.items()
    assert (name, added.root, added.subsets, added.unseen_subsets) == ("speechocean762", "y", ["speechocean762"], [])
    assert (added.min_age, added.check, alone.added) == (18, "headers", {})


def test_the_recipe_of_the_shipped_model_is_unchanged():
    """The settings with which results/ describes the training of the shipped model."""
    config = compose_config(["+exp=shipped"])
    network = {"n_layers": 3, "units": 300, "width": 256, "bottleneck_rank": 128, "dropout": 0.1,
               "training_dtype": "float32"}
    assert {name: config.network[name] for name in network} == network
    assert config.network._target_.endswith(".residual_blstm")
    build = {"embedding_size": 20, "loss_range_db": 40.0, "weight_power": 1.0, "weight_without_pre_emphasis": True,
             "centroid_loss_weight": 0.5, "unit_norm": True, "scale": 5.0, "speaker_lr_multiplier": 10.0,
             "loss_frame_stride": 2, "range_db": 25.0, "soft_scale": 5.0}
    assert {name: config.method.build[name] for name in build} == build
    settings = check(config)
    assert (settings.front_end.compression, settings.front_end.scaling) == ("log", "standard")
    mixtures, training = settings.mixtures, settings.training
    assert mixtures.speaker_shares == {1: 0.05, 2: 0.8, 3: 0.15} and mixtures.curriculum_batches == 4000
    assert (mixtures.batch_size, mixtures.seconds, mixtures.level_range_db) == (128, 3.2, 6)
    assert mixtures.speeds == [0.88, 0.94, 1.0, 1.06, 1.12]
    assert (mixtures.response_db, mixtures.telephone) == (6, 0.05) and settings.noise.training_snr_db == [10, 110]
    assert (training.updates, training.minutes, training.validate_every) == (14000, None, 4000)
    assert (training.learning_rate, training.beta_2, training.warmup_updates) == (0.0022, 0.99, 500)
    assert (training.decay, training.clip_norm) == ("cosine", 5.0)
    assert (settings.validation.per_kind, settings.evaluation.per_kind, settings.evaluation.seconds) == (20, 100, 5)


def test_defaults_are_possible_and_reach_the_configuration():
    settings = check(compose_config(["training.updates=1", "seed=3"]))
    assert settings.seed == 3 and settings.run_dir == "runs/default_embedded"
    for item in fields(Settings):
        if item.name not in ("training", "seed", "run_dir"):
            chosen = getattr(settings, item.name)
            if item.name == "corpus":
                assert chosen.root is None
                chosen.root, chosen.licence = "???", None  # every other corpus has its own
            assert (vars(chosen) if "group" in item.metadata else chosen) == defaults(Settings)[item.name]


def test_the_list_of_settings_is_complete_yaml_with_the_defaults():
    assert yaml.safe_load(config_schema.describe_settings()) == defaults(Settings)


def test_limits_and_locations_are_free_on_resume():
    free = setting_names("free_on_resume")
    assert {"resume", "run_dir", "corpus.root", "training.minutes", "evaluation", "noise.evaluation_snr_db"} <= {*free}
    assert not {"seed", "training.learning_rate", "mixtures.seconds", "training"} & {*free}
    assert setting_names("is_location") == ["run_dir", "resume", "overwrite", "corpus.root"]


@dataclass
class Example:
    """Settings of each type."""

    count: int = setting(3, "A number of things", at_least=1)
    share: float | None = setting(None, "A share", at_least=0.0, below=1.0)
    kinds: list[str] = setting(["a"], "Some kinds", choices=("a", "b"), distinct=True)


@pytest.mark.parametrize(("change", "wanted"), [
    ({"count": 0}, "example.count=0 is not possible; give a whole number of at least 1."),
    ({"count": True}, "example.count=True"), ({"count": 1.0}, "example.count=1.0"), ({"count": None}, "count=None"),
    ({"share": 1.0}, "give a number of at least 0 and below 1, or null."), ({"share": float("nan")}, "share=nan"),
    ({"kinds": ["c"]}, "give a list of different values, each one of a, b."), ({"kinds": ["a", "a"]}, "different"),
    ({"kinds": "a"}, "kinds=a is not possible"),
])
def test_a_declaration_is_what_is_checked(change, wanted):
    check_fields(Example, defaults(Example) | {"share": 0}, "example")
    with pytest.raises(UserError, match=re.escape(wanted)):
        check_fields(Example, defaults(Example) | change, "example")


def test_the_commands_are_imported_without_a_learning_framework():
    code = ("import sys; import lab41_sce.commands.experiment, lab41_sce.commands.train_with_torch; "
            "print([name for name in ('tensorflow', 'keras', 'torch') if name in sys.modules])")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


@pytest.mark.parametrize("path", [
    "/tmp/Gespräch", "/tmp/話", "/tmp/a=b", "/tmp/a(b)", "/tmp/a#b", "/tmp/a,b", "/tmp/a;b", "/tmp/[x]", "/tmp/{x}",
    "/tmp/it's", "/tmp/it\\'s", "/tmp/é\\", "/tmp/é\\\\'", '/tmp/"x"', "/tmp/a&b!", "~/speech", "/tmp/a\nb",
    "/tmp/two words", "C:\\speech", "/tmp/é, 'è' and \"ê\" = (#)"])
def test_a_path_needs_no_quotes(path):
    [quoted] = quoted_overrides([f"corpus.root={path}"])
    assert OverridesParser.create().parse_override(quoted).value() == path


def test_odd_paths_are_composed():
    config = compose_config(["+exp=smoke", "corpus.root=/tmp/é (1)", "run_dir=/tmp/a,b", "name=it's"])
    assert (config.corpus.root, config.run_dir, config.name) == ("/tmp/é (1)", "/tmp/a,b", "it's")


def test_the_grammar_of_hydra_stays_as_it_is():
    given = ["+exp=smoke", "--config-dir=/tmp/é", "corpus.subsets=[a,b]", "corpus.root='/tmp/é'", "seed=1,2",
             "~noise.folder", "-m", "corpus.root=/a,/b", "training.minutes=${oc.create:3}", "corpus.root=null",
             "--cfg", "job"]
    assert quoted_overrides(given) == given


@pytest.mark.parametrize(("override", "wanted"), [
    ("training.minuts=3", "training.minuts is no setting; did you mean training.minutes?"),
    ("trainig.minutes=3", "trainig.minutes is no setting; did you mean training.minutes?"),
    ("minutes=3", "minutes is no setting; did you mean training.minutes?"),
    ("~training.minuts", "training.minuts is no setting; did you mean training.minutes?"),
    ("method.build.scael=3", "method.build.scael is no setting; did you mean method.build.scale?"),
    ("corpuss=librispeech", "corpuss is no setting; did you mean corpus?"),
    ("nothing=1", "nothing is no setting; --settings lists the settings."),
    ("é=1", "é is no setting; give settings like this: training.minutes=60."),
    ("training.minutes", "training.minutes has no value; give settings like this: training.minutes=60."),
    ("training.minuts", "training.minuts is no setting; did you mean training.minutes?"),
    ("xyz", "xyz is no setting; give settings like this: training.minutes=60."),
    ("method=scee", "method=scee is not possible (did you mean sce?); choose from attractor, attractor_fixed, "),
    ("method=magic", "method=magic is not possible; choose from attractor, "),
    ("+method@others.new=scee", "method=scee is not possible (did you mean sce?)"),
    ("corpus=libri", "corpus=libri is not possible (did you mean librispeech?); choose from embedded, librispeech, "),
    ("+exp=two_speakers", "exp=two_speakers is not possible (did you mean two_speaker?); choose from "),
    ("exp=smoke", "exp=smoke needs a + before it; give +exp=smoke."),
    ("method@others.new=sce", "method@others.new=sce needs a + before it; give +method@others.new=sce."),
    ("seed=1,2", "seed=1,2 has several values; give seed=[1,2] for a list, or add -m to run an experiment with each."),
    ("corpus=3", "the settings cannot be composed (Config group override must be a string or a list. Got int)"),
    ("+training=3", "the settings cannot be composed ("),
])
def test_settings_that_cannot_be_composed_give_one_sentence(override, wanted):
    with pytest.raises(UserError, match=re.escape(wanted)) as caught:
        compose_config([override])
    assert "\n" not in str(caught.value)


def test_a_misspelt_setting_of_a_chosen_file_has_the_nearest_of_that_file():
    with pytest.raises(UserError, match=re.escape("did you mean others.sce_4_negatives.build.num_negatives?")):
        compose_config(["+exp=ablation", "others.sce_4_negatives.build.num_negative=3"])


def composed(folder):
    """Compose the configuration `own.yaml` in a folder of the user."""
    with initialize_config_dir(str(folder), version_base="1.3"):
        return compose("own")


def test_the_files_of_a_user_pass_the_limits_of_stored_ones(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("seed: 3\n")
    assert composed(tmp_path) == {"seed": 3}
    for text, reason in (("a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nests more than 50 levels"),
                         ("a: &a [1]\nb: [" + ", ".join(["*a"] * (MAX_ALIASES + 1)) + "]", "more than 100 aliases"),
                         ("# " + "x" * MAX_BYTES, "more than 1,048,576 bytes")):
        path.write_text(text)
        with pytest.raises(HydraException, match=f"own.yaml cannot be read .*{reason}"):
            composed(tmp_path)
