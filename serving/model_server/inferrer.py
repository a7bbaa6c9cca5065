"""Classify, Regress and MultiInference between their transports and the model."""

import dataclasses
from collections.abc import Callable
from typing import Any

from tensorflow_serving.apis import classification_pb2, inference_pb2, model_pb2, regression_pb2

from serving.model_server import json_examples
from serving.model_server.inference import (
    Plan,
    plan_classification,
    plan_multi_inference,
    plan_regression,
)
from serving.model_server.predict import read_selector
from serving.model_server.registry import ModelSelector, Registry
from serving.model_server.runner import ModelCall, Runner


@dataclasses.dataclass(frozen=True)
class Inferrer:
    """Answers the calls that take examples, in both forms, proto and JSON.

    Attributes:
        registry: the versions that answer.
        runner: where the model is called.
        observe_examples: told the model's name and the number of examples of each answered request.
    """

    registry: Registry
    runner: Runner
    observe_examples: Callable[[str, int], None] | None = None

    async def classify(self, request: Any) -> Any:
        """Answer a ClassificationRequest.

        Args:
            request: the ClassificationRequest.

        Returns:
            The ClassificationResponse.

        Raises:
            ServingError: the request or the model call is wrong.
        """
        return await self._infer(read_selector(request), plan_classification, request)

    async def regress(self, request: Any) -> Any:
        """Answer a RegressionRequest.

        Args:
            request: the RegressionRequest.

        Returns:
            The RegressionResponse.

        Raises:
            ServingError: the request or the model call is wrong.
        """
        return await self._infer(read_selector(request), plan_regression, request)

    async def multi_inference(self, request: Any) -> Any:
        """Answer a MultiInferenceRequest on the version that its first task asks for.

        Args:
            request: the MultiInferenceRequest.

        Returns:
            The MultiInferenceResponse.

        Raises:
            ServingError: the request or the model call is wrong.
        """
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        selector = read_selector(inference_pb2.InferenceTask(model_spec=spec))
        return await self._infer(selector, plan_multi_inference, request)

    async def classify_json(self, selector: ModelSelector, body: bytes) -> bytes:
        """Answer the body of a `:classify`.

        Args:
            selector: the version asked for.
            body: JSON.

        Returns:
            JSON.

        Raises:
            ServingError: the request or the model call is wrong.
        """
        request = classification_pb2.ClassificationRequest()
        json_examples.fill_request(body, request)
        response = await self._infer(selector, plan_classification, request)
        return json_examples.write_classifications(response.result)

    async def regress_json(self, selector: ModelSelector, body: bytes) -> bytes:
        """Answer the body of a `:regress`.

        Args:
            selector: the version asked for.
            body: JSON.

        Returns:
            JSON.

        Raises:
            ServingError: the request or the model call is wrong.
        """
        request = regression_pb2.RegressionRequest()
        json_examples.fill_request(body, request)
        response = await self._infer(selector, plan_regression, request)
        return json_examples.write_regressions(response.result)

    async def _infer(self, selector: ModelSelector, plan: Plan, request: Any) -> Any:
        with self.registry.lease(selector) as servable:
            inference = plan(servable, request)
            outputs = await self.runner.run(
                ModelCall(servable, inference.signature, inference.inputs, inference.output_filter)
            )
            if self.observe_examples is not None:
                count = len(next(iter(inference.inputs.values())))
                self.observe_examples(servable.name, count)
        return inference.make_response(outputs)
