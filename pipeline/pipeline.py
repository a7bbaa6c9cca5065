"""The DAG: every stage on one screen."""

from tfx.orchestration.pipeline import Pipeline

from components.beam_args import beam_args, reading_args
from components.evaluator.component import build_evaluator
from components.example_gen.component import build_example_gen
from components.example_validator import build_example_validator
from components.infra_validator.component import build_infra_validator
from components.pusher.component import build_pusher
from components.schema_gen import build_schema_gen
from components.statistics_gen import build_statistics_gen
from components.trainer import build_trainer
from components.transform.component import build_transform
from components.tuner import best_hyperparameters, build_tuner
from configs.types import PipelineConfig
from pipeline.surroundings import Surroundings


def create_pipeline(config: PipelineConfig, surroundings: Surroundings) -> Pipeline:
    """Connect the stages.

    Args:
        config: all settings.
        surroundings: where the data comes from, and where artifacts and models go.

    Returns:
        The pipeline; a runner decides where it runs.
    """
    example_gen = build_example_gen(
        config.data, data_root=surroundings.data_root, data_version=surroundings.data_version
    )
    example_gen.with_beam_pipeline_args(
        reading_args(config.beam, num_images=surroundings.num_images)
    )
    examples = example_gen.outputs["examples"]
    statistics_gen = build_statistics_gen(examples=examples)
    statistics = statistics_gen.outputs["statistics"]
    schema_gen = build_schema_gen(
        config.validation, curated_schema=surroundings.curated_schema, statistics=statistics
    )
    schema = schema_gen.outputs["schema"]
    example_validator = build_example_validator(
        config.validation, statistics=statistics, schema=schema
    )
    transform = build_transform(config.transform, examples=examples, schema=schema)
    transform.add_upstream_node(example_validator)
    transformed = transform.outputs["transformed_examples"]
    transform_graph = transform.outputs["transform_graph"]
    tuner = build_tuner(
        config, examples=transformed, transform_graph=transform_graph, schema=schema
    )
    trainer = build_trainer(
        config,
        epochs=surroundings.epochs,
        max_steps=surroundings.max_steps,
        examples=transformed,
        transform_graph=transform_graph,
        schema=schema,
        hyperparameters=best_hyperparameters(tuner),
    )
    model = trainer.outputs["model"]
    baseline = surroundings.find_baseline(model)
    evaluator = build_evaluator(
        config.evaluation, examples=examples, model=model, baseline=baseline.model
    )
    infra_validator = build_infra_validator(
        config.infra,
        config.model_name,
        stop_when_refused=surroundings.stop_when_refused,
        model=model,
        examples=examples,
    )
    infra_validator.add_upstream_node(evaluator)
    pusher = build_pusher(
        surroundings.push_folder,
        config.model_name,
        model=model,
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_validator.outputs["blessing"],
        examples=examples,
        schema=schema,
        transform_graph=transform_graph,
        model_run=trainer.outputs["model_run"],
        evaluation=evaluator.outputs["evaluation"],
    )
    promotion = surroundings.build_promotion(model, pusher.outputs["pushed_model"])
    stages = [example_gen, statistics_gen, schema_gen, example_validator, transform, tuner, trainer]
    stages += [*baseline.nodes, evaluator, infra_validator, pusher, promotion]
    return Pipeline(
        pipeline_name=config.pipeline_name,
        pipeline_root=surroundings.artifacts,
        components=[stage for stage in stages if stage is not None],
        enable_cache=config.enable_cache,
        metadata_connection_config=surroundings.metadata,
        beam_pipeline_args=beam_args(config.beam),
    )
