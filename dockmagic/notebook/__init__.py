"""The face inside IPython and Jupyter: the extension, its magics, completion, errors, and the kernel "Dockerfile".

Here lives what knows of cells; docker's commands live in ``commands``, what people look at in ``views``. Begin at
extension.py.
"""
