"""A method is tried with one batch before its training: the loss can be computed, and the model can be loaded again.

Mistakes of a method or a network of one's own would otherwise end hours of training.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import keras

from lab41_sce.errors import UserError, reason_and_place
from lab41_sce.methods.base import Batch
from lab41_sce.models.loading import loading_error, read_model


def try_method(method: keras.Model, batch: Batch, name: str) -> None:
    """Compute the loss of a batch, which builds every weight, and save and load the model.

    Args:
        method: Keras model that returns its loss, with the attribute `model`: the model that separates.
        batch: see `Method`.
        name: of the system, for messages.

    Raises:
        UserError: the loss cannot be computed or is not one floating-point number, or the model cannot be saved and
            loaded.
    """
    try:
        loss = method(batch)
    except UserError:
        raise
    except Exception as error:  # the method may be the user's, and may raise anything
        raise UserError(f"the loss of {name} cannot be computed ({reason_and_place(error)}); correct its method or its "
                        "network.") from error
    is_tensor = keras.ops.is_tensor(loss)
    if not is_tensor or loss.shape != () or not keras.backend.is_float_dtype(loss.dtype):
        kind = (f"{keras.backend.standardize_dtype(loss.dtype)} of the shape {tuple(loss.shape)}" if is_tensor
                else type(loss).__name__)
        raise UserError(f"the method of {name} returned {kind}; its call must return the loss, one floating-point "
                        "number.")
    with TemporaryDirectory() as folder:
        file = Path(folder, "model.keras")
        try:
            method.model.save(file)
            read_model(file)
        except Exception as error:  # a layer may be the user's, and may raise anything
            raise UserError(f"the model of {name} could not be loaded after its training ({loading_error(error)}); "
                            "decorate your own layers with @keras.saving.register_keras_serializable(), give them a "
                            "get_config with their arguments, and use no Lambda layer.") from error
