"""The life that churn and lifetime value models share: asked for, learned, activated, scored by, watched, retired."""
