"""Typed jobs for people who type in an editor, one module per developer.

    from aimlvideo.models.klingai import V3StandardImageToVideo

    job = V3StandardImageToVideo(image_url="dancer.png", prompt="She turns around", duration=8)

Each class is a `VideoJob` with its model's parameters as keyword arguments. The modules are made from the catalogue by
`python -m aimlvideo.codegen models`; for a model without a class, `VideoJob(model, **params)` asks the same.
"""
