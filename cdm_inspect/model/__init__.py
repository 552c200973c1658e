"""The consistent diffusion model: diffusion, training, checkpoint, diagnosis."""
