"""Finds faces in frames, their landmarks, the person each belongs to, and which faces count.

    counting      which faces count for a verdict, and why the others do not
    detection     the face detector: MTCNN on frames of any size
    landmarks     five points, outline and mask of a face from its landmarks
    main_people   who a video is about, and who is a bystander
    mtcnn         MTCNN's three networks on a batch of frames
    plausibility  whether five points lie as a face's do
    sharpness     how sharp a face is at its own size
    tracking      joins the faces of a clip to persons

Tests bear the modules' names.
"""
